package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dragonfly/registry/api"
)

func TestReady(t *testing.T) {
	for _, c := range []struct {
		status     int
		body       string
		says, want string // the status; a part of the error
	}{
		{200, `{"status":"ready"}`, "ready", ""},
		{503, `{"status":"degraded","problems":["the database is away"]}`, "degraded", ""},
		{502, "<html>", "", "502: Bad Gateway"},
		{200, "<html>", "", "no answer of a Dragonfly"},
		{503, `{"title":"a proxy's"}`, "", "no answer of a Dragonfly"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		r, err := (&api.Client{Base: s.URL}).Ready(t.Context())
		s.Close()
		if (err == nil) != (c.want == "") || r.Status != c.says || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: %+v, %v", c.status, c.body, r, err)
		}
	}
}
