package main

import (
	"io"
	"net/http"
	"testing"

	"dragonfly/registry"
)

// The answer to a request with an idempotency key is given again after a restart.
func TestIdempotencyKeyOutlivesTheServer(t *testing.T) {
	r := start(t, testConfig(t))
	machine := r.register(t, registry.MAC{0x52, 0x54, 0, 0, 0, 1})
	ask := func() (body, etag, replayed string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/api/v1/machines/"+machine.ID+"/retire", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "7f0c5c1e-5b6f-4b0e-9d3a-2f1f6a1c9c11")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s %v", resp.Status, text, err)
		}
		return string(text), resp.Header.Get("ETag"), resp.Header.Get("Idempotent-Replayed")
	}
	body, etag, replayed := ask()
	if replayed != "" {
		t.Errorf("the first answer is a repetition: %s", body)
	}
	r.end(t)
	r = start(t, r.cfg)
	defer r.end(t)
	if again, tag, replayed := ask(); again != body || tag != etag || replayed != "true" {
		t.Errorf("after a restart: %q %s %s, want %s %s", replayed, tag, again, etag, body)
	}
}
