package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// text is the status and the body of the answer to a GET.
func (s *server) text(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func TestFields(t *testing.T) {
	s := serve(t)
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	label := map[string]*string{"rack.row": ptr("a1"), "other": ptr("x")}
	if _, err := (&api.Client{Base: s.URL}).Edit(t.Context(), reply.ID, api.PatchRequest{Name: ptr("one"), Labels: label}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		fields string
		status int
		want   string // the machine, or a part of the problem
	}{
		{"name", 200, `{"name":"one"}`},
		{"state,name", 200, `{"name":"one","state":"ready"}`},
		{"hardware.disks.serial", 200, `{"hardware":{"disks":[{"serial":"D-1"}]}}`},
		{"hardware.disks.serial,hardware.disks.name", 200, `{"hardware":{"disks":[{"name":"nvme0n1","serial":"D-1"}]}}`},
		{"hardware.disks.serial,hardware.disks", 200, `{"hardware":{"disks":[{"name":"nvme0n1","serial":"D-1","bytes":1099511627776}]}}`},
		{"hardware.disks,hardware.disks.serial", 200, `{"hardware":{"disks":[{"name":"nvme0n1","serial":"D-1","bytes":1099511627776}]}}`},
		{"hardware.system.vendor,vendor", 200, `{"hardware":{"system":{"vendor":"Acme"}},"vendor":"Acme"}`},
		{"labels.rack.row", 200, `{"labels":{"rack.row":"a1"}}`}, // a key may have dots
		{"labels", 200, `{"labels":{"other":"x","rack.row":"a1"}}`},
		{"hardware.bmc.address", 200, `{"hardware":{}}`},
		{"hardwere", 422, "did you mean hardware?"},
		{"hardware.disk.serial", 422, "did you mean hardware.disks?"},
		{"hardware.disks.seral", 422, "did you mean hardware.disks.serial?"},
		{"name.first", 422, "name has no members"},
		{"name,", 422, "there is no field"},
		{"hardware..disks", 422, "there is no field"},
		{"address.z", 422, "address has no members"},
		{"name'; DROP TABLE machines; --", 422, "there is no field"},
		{strings.Repeat("name,", 100) + "name", 422, "64"},
	} {
		query := "?" + url.Values{"fields": {tt.fields}}.Encode()
		status, one := s.text(t, "/api/v1/machines/one"+query)
		_, list := s.text(t, "/api/v1/machines"+query)
		if tt.status == 200 {
			if status != 200 || one != tt.want || list != `{"machines":[`+tt.want+`]}` {
				t.Errorf("fields=%s: %d %.300s and %.300s; want %s", tt.fields, status, one, list, tt.want)
			}
		} else if status != tt.status || !strings.Contains(one, tt.want) || !strings.Contains(list, tt.want) {
			t.Errorf("fields=%s: %d %.300s and %.300s; want %d with %q", tt.fields, status, one, list, tt.status, tt.want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// Without fields an answer is what it was: a list has no hardware, and a page of
// machines with hardware is short but not the last.
func TestFieldsOfAList(t *testing.T) {
	s := serve(t)
	for i := range 201 {
		mac := registry.MAC{2, 0, 0, 0, 1, byte(i)}
		if _, _, err := s.registry.Register(t.Context(), registry.Registration{MAC: mac}); err != nil {
			t.Fatal(err)
		}
	}
	var page struct {
		Machines []map[string]any `json:"machines"`
		Next     string           `json:"next_page_token"`
	}
	_, text := s.text(t, "/api/v1/machines?page_size=1000&fields=hardware,id")
	if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Machines) != 200 || page.Next == "" {
		t.Errorf("%d machines, next %q, %v", len(page.Machines), page.Next, err)
	}
	all, err := (&api.Client{Base: s.URL}).Fields(t.Context(), api.Selection{}, "id", "hardware")
	if err != nil || len(all) != 201 {
		t.Errorf("%d machines in all, %v", len(all), err)
	}
}
