package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// call sends a request as curl would, and returns status, ETag and body.
func (s *server) call(t *testing.T, method, path, body string, header ...string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("ETag"), string(text)
}

func TestEditing(t *testing.T) {
	s := serve(t)
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/machines/" + reply.ID
	_, etag, _ := s.call(t, "GET", path, "")
	if etag != `"1"` {
		t.Fatalf("ETag %s", etag)
	}
	for _, step := range []struct {
		method, path, body, ifMatch string
		status                      int
		want                        string // a part of the answer
	}{
		{"PATCH", path, `{"name":"rack1-7","tags":["gpu"],"labels":{"rack":"a1","gone":null},"note":"two\nlines"}`, etag, 200, `"name":"rack1-7"`},
		{"PATCH", path, `{"owner":"ana"}`, etag, 412, "is at version 2 and version 1 was read"},
		{"PATCH", path, `{"owner":"ana"}`, "seven", 422, `"in":"header","pointer":"/If-Match"`},
		{"PATCH", "/api/v1/machines/rack1-7", `{"labels":{"rack":null}}`, "*", 200, `"version":3`},
		{"PATCH", path, `{"ownr":"ana"}`, "", 422, `"in":"body","pointer":"/ownr"`},
		{"PATCH", path, `{"owner":7}`, "", 422, `"in":"body","pointer":"/owner"`},
		{"PATCH", path, `{"name":"Not A Name"}`, "", 422, `"in":"body","pointer":"/name"`},
		{"PATCH", path, `{"tags":["ok","<b>"]}`, "", 422, `"in":"body","pointer":"/tags/1"`},
		{"PATCH", path, `{`, "", 400, "unexpected end"},
		{"PATCH", "/api/v1/machines/nobody", `{}`, "", 404, "not found"},
		{"PUT", path + "/lock", `{"note":"copying"}`, "", 200, `"lock":{`},
		{"DELETE", path, "", "", 423, "locked by"},
		{"POST", path + "/retire", "", "", 423, "copying"},
		{"DELETE", path + "/lock", "", "", 200, `"version":5`},
		{"POST", path + "/restore", "", "", 409, "ready may not restore"},
		{"POST", path + "/retire", "", "", 200, `"state":"retired"`},
		{"POST", path + "/restore", "", "", 200, `"state":"ready"`},
		{"GET", path + "/timeline?limit=3", "", "", 200, "from retired to ready"},
		{"GET", path + "/history", "", "", 200, `"changes":[]`},
		{"GET", path + "/timeline?limit=0", "", "", 422, `"in":"query","pointer":"/limit"`},
		{"DELETE", path, "", `"1"`, 412, "is at version 7"},
		{"DELETE", path, "", "", 204, ""},
		{"GET", path, "", "", 404, "not found"},
	} {
		status, _, body := s.call(t, step.method, step.path, step.body, "If-Match", step.ifMatch)
		if status != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%s %s %s: %d %s; want %d with %s", step.method, step.path, step.body, status, body, step.status, step.want)
		}
	}
}

func TestListing(t *testing.T) {
	s := serve(t)
	for i := range 7 {
		mac := registry.MAC{2, 0, 0, 0, 0, byte(i + 1)}
		req := request()
		req.MAC, req.MACs = mac, []registry.MAC{mac}
		req.Hardware.System = registry.System{Vendor: "Acme", Product: []string{"R1", "R2"}[i%2], Serial: "SN-" + mac.String()}
		if _, err := (&api.Client{Base: s.URL, Token: s.tokens.Boot(mac)}).Register(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	operator := &api.Client{Base: s.URL}
	for selection, want := range map[api.Selection]int{
		{}: 7, {Filter: "model:r2"}: 3, {Filter: "-model:r2 state:ready"}: 4, {Filter: "\"sn-02:00:00:00:00:03\""}: 1,
		{Sort: "-model"}: 7, {Filter: "vendor:nobody"}: 0, {Filter: "model:~R", Sort: "created"}: 7,
	} {
		all := map[string]bool{}
		order := ""
		for token := ""; ; {
			page, next, err := operator.Machines(t.Context(), selection, token, 2)
			if err != nil {
				t.Fatalf("%+v: %v", selection, err)
			}
			for _, m := range page {
				all[m.ID] = true
				order += m.Model + " "
				if m.Hardware != nil || m.Vendor != "Acme" {
					t.Errorf("listed %+v", m)
				}
			}
			if token = next; token == "" {
				break
			}
		}
		if len(all) != want {
			t.Errorf("%+v: %d machines, want %d", selection, len(all), want)
		}
		if selection.Sort == "-model" && order != "R2 R2 R2 R1 R1 R1 R1 " {
			t.Errorf("order: %s", order)
		}
	}
	_, next, err := operator.Machines(t.Context(), api.Selection{}, "", 2)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"filter=tag:gpu&page_token=" + next: "start again without it",
		"filter=state:redy":                 "did you mean ready?",
		"filter=colour:red":                 `"in":"query","pointer":"/filter"`,
		"sort=colour":                       `"in":"query","pointer":"/sort"`,
		"page_token=x":                      `"in":"query","pointer":"/page_token"`,
		"page_token=e30&sort=-model":        `"in":"query","pointer":"/page_token"`,
		"page_size=0":                       `"in":"query","pointer":"/page_size"`,
		"filtr=state:ready":                 `"in":"query","pointer":"/filtr","message":"there is no parameter \"filtr\"; did you mean filter?"`,
		"a[b]=1":                            `"pointer":"/a[b]","message":"there is no parameter \"a[b]\"; want `,
	} {
		if status, _, body := s.call(t, "GET", "/api/v1/machines?"+query, ""); status != http.StatusUnprocessableEntity || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}
