package api_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestImport(t *testing.T) {
	s := serve(t)
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/machines/import"
	for _, step := range []struct {
		path, body string
		status     int
		want       string // a part of the answer
	}{
		{path + "?dry_run=true", `{"items":[{"name":"rack1-7","macs":["02:00:00:00:00:77"],"owner":"lab"}]}`, 200, `{"dry_run":true,"created":1,"edited":0,"unchanged":0,"refused":0,"results":[{"action":"create","name":"rack1-7","changes":[{"field":"name","after":"rack1-7"}`},
		{path, `{"items":[{"name":"rack1-7","macs":["02-00-00-00-00-77"],"owner":"lab","labels":{"rack":"a1"}}]}`, 200, `"results":[{"action":"create","id":"m-`},
		{path, `{"items":[{"macs":["02:00:00:00:00:77"],"owner":"","labels":{}}]}`, 200, `"edited":1`},
		{path, `{"items":[{"macs":["02:00:00:00:00:77"],"tags":[],"retired":false}]}`, 200, `"unchanged":1`},
		{path, `{"items":[{"name":"` + reply.Name + `","set_labels":{"rack":"a1","row":null}}]}`, 200, `{"field":"label.rack","after":"\"a1\""}`},
		{path, `{"items":[{"serial":"x7","plan":"other"}]}`, 200, `"problem":{"status":409,"title":"Conflict","detail":"what would be done is not`},
		{path, `{"items":[{"serial":"x7"},{"serial":"x7","name":"NO"},{"serial":"x7"}]}`, 200, `"errors":[{"in":"body","pointer":"/name"`},
		{path, `{"items":[]}`, 200, `"results":[]`},
		{path, `{"items":[{"serail":"x7"}]}`, 422, `"pointer":"/items/0/serail","message":"there is no member \"serail\"; did you mean serial?"`},
		{path, `{"items":[{"macs":["02:00"]}]}`, 422, `six hexadecimal bytes`},
		{path, `{"items":[{"macs":7}]}`, 422, `"pointer":"/items/0/macs"`},
		{path, `{}`, 422, `"pointer":"/items"`},
		{path, `{"items":null}`, 422, `"pointer":"/items"`},
		{path, `[`, 400, `not JSON`},
		{path, `{"items":[` + strings.Repeat(`{},`, 10_000) + `{}]}`, 422, `"pointer":"/items"`},
		{path, `{"items":[{"note":"` + strings.Repeat("x", 11<<20) + `"}]}`, 413, `"status":413`},
	} {
		status, _, body := s.call(t, http.MethodPost, step.path, step.body)
		if status != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%.100s: %d %.600s; want %d with %s", step.body, status, body, step.status, step.want)
		}
	}
}
