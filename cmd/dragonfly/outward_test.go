package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"dragonfly/boot/sshkeys"
	"dragonfly/registry"
)

// TestOutward: whatever leads there, an address of metadata is not connected to, and
// any other is.
func TestOutward(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/there" {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		}
	}))
	defer site.Close()
	client := &http.Client{Transport: outward()}
	for url, refused := range map[string]bool{
		site.URL:                           false,
		site.URL + "/there":                true,
		"http://169.254.169.254/":          true,
		"http://[::ffff:169.254.169.254]/": true,
		"http://[fe80::1%25lo]/":           true,
		"http://[fd00:ec2::254]/":          true,
		"http://[fd00:ec2::23]/":           true,
		"http://[fd20:ce::254]/":           true,
		"http://[fd00:c1::a9fe:a9fe]/":     true,
		"http://[fd00:42::42]/":            true,
		"http://[fd00:a9fe:a9fe::1]/":      true,
		"http://[fd00:100::100:200]/":      true,
		"http://192.0.0.192/latest/":       true,
		"http://100.100.100.200/latest/":   true,
		"https://168.63.129.16/machine/":   true,
	} {
		answer, err := client.Get(url)
		if err == nil {
			answer.Body.Close()
		}
		if errors.Is(err, registry.ErrForbidden) != refused || (err == nil) == refused {
			t.Errorf("%s: %v; want refused %v", url, err, refused)
		}
	}
	keys := sshkeys.Fetcher{Client: client}
	if _, err := keys.Fetch(t.Context(), "https://169.254.169.254/ana.keys"); !errors.Is(err, registry.ErrForbidden) {
		t.Errorf("keys: %v", err)
	}
}
