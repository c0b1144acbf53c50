package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func TestMerge(t *testing.T) {
	s := serve(t)
	keep, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	twin := registry.MAC{2, 0, 0, 0, 0, 9}
	other := request()
	other.MAC, other.MACs, other.Hardware.System = twin, []registry.MAC{twin}, registry.System{Serial: "SN-2"}
	online, err := (&api.Client{Base: s.URL, Token: s.tokens.Boot(twin)}).Register(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	port := registry.MAC{2, 0, 0, 0, 0, 7}
	s.registry.Sight(registry.Sighting{At: time.Now(), MAC: port, Stage: registry.StageDHCP, Detail: "offer"})
	var seen registry.Entry
	for known := false; !known && t.Context().Err() == nil; {
		if _, err := s.registry.Feed().Next(t.Context(), s.registry.Feed().Last()-1); err != nil {
			t.Fatal(err)
		}
		seen, known = s.registry.Lookup(port)
	}
	path := "/api/v1/machines/" + keep.ID + "/merge"
	for _, step := range []struct {
		body, ifMatch string
		status        int
		want          string // a part of the answer
	}{
		{`{"from":"` + keep.Name + `"}`, "", 422, `"pointer":"/from","message":"it is the same record"`},
		{`{"from":"nobody"}`, "", 422, "not found"},
		{`{"from":"` + online.ID + `"}`, "", 422, "both are online"},
		{`{"from":""}`, "", 422, "/from"},
		{`{"form":"x"}`, "", 422, "did you mean from?"},
		{``, "", 400, "body"},
		{`{"from":"` + seen.ID + `"}`, `"7"`, 412, "is at version 1 and version 7 was read"},
		{`{"from":"` + seen.ID + `"}`, `"1"`, 200, `"macs":["52:54:00:01:02:03","02:00:00:00:00:07"]`},
		{`{"from":"` + seen.ID + `"}`, "", 422, "not found"},
	} {
		status, _, body := s.call(t, "POST", path, step.body, "If-Match", step.ifMatch)
		if status != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%s: %d %s; want %d with %s", step.body, status, body, step.status, step.want)
		}
	}
	client := &api.Client{Base: s.URL}
	if _, err := client.Lock(t.Context(), online.ID, "mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Merge(t.Context(), keep.ID, online.ID); api.Status(err) != http.StatusLocked {
		t.Errorf("a locked record: %v", err)
	}
	if _, err := client.Merge(t.Context(), "nobody", online.ID); api.Status(err) != http.StatusNotFound {
		t.Errorf("into nobody: %v", err)
	}
}
