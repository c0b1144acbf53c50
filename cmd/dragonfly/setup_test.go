package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/registry/api"
)

// testLog is a log that tests read.
type testLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *testLog) find(pattern string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return regexp.MustCompile(pattern).FindStringSubmatch(l.text.String())
}

// startLogged is start with a log.
func startLogged(t *testing.T, cfg config) (*rig, *testLog) {
	t.Helper()
	log := &testLog{}
	ctx, stop := context.WithCancel(t.Context())
	r := &rig{cfg: cfg, url: fmt.Sprintf("http://127.0.0.1:%d", cfg.Port), stop: stop, done: make(chan error, 1)}
	go func() {
		defer close(r.done)
		r.done <- serve(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)))
	}()
	t.Cleanup(func() { // as in start
		stop()
		for range r.done {
		}
	})
	for { // until its port is bound; from then on it waits for the answer
		resp, err := http.Get(r.url + "/healthz")
		if err == nil {
			resp.Body.Close()
			return r, log
		}
		select {
		case err := <-r.done:
			t.Fatalf("the appliance ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestSetupLink(t *testing.T) {
	r, log := startLogged(t, testConfig(t))
	found := log.find(`link=(http://\S+)/setup#(\w+)`)
	if found == nil || found[1] != r.url {
		t.Fatalf("no link to %s in the log: %q", r.url, found)
	}
	client := &api.Client{Base: r.url}
	if err := client.Setup(t.Context(), api.SetupRequest{Token: "wrong", Name: "eve", Password: "correct horse battery"}); api.Status(err) != http.StatusForbidden {
		t.Errorf("a wrong token: %v", err)
	}
	ana := api.SetupRequest{Token: found[2], Name: "ana", Password: "correct horse battery"}
	if err := client.Setup(t.Context(), ana); err != nil {
		t.Fatal(err)
	}
	if err := client.Setup(t.Context(), ana); api.Status(err) != http.StatusForbidden {
		t.Errorf("a second time: %v", err)
	}
	if code, _ := r.get(t, "/api/v1/machines"); code != http.StatusUnauthorized {
		t.Errorf("this host, now that there is an account: %d", code)
	}
	r.end(t)
	again, log := startLogged(t, r.cfg)
	defer again.end(t)
	if found := log.find(`link=(\S+)`); found != nil {
		t.Errorf("a link, although there is an account: %q", found)
	}
}

// Behind a proxy with TLS the link is of the proxy, and cookies are for TLS only.
func TestPublicURL(t *testing.T) {
	cfg := testConfig(t)
	cfg.PublicURL = "https://lab.example/"
	r, log := startLogged(t, cfg)
	defer r.end(t)
	found := log.find(`link=https://lab\.example/setup#(\w+)`)
	if found == nil {
		t.Fatal("the log has no link to the proxy")
	}
	form := url.Values{"token": {found[1]}, "name": {"ana"}, "password": {"correct horse battery"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/setup", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://lab.example")
	req.Host = "lab.example" // as the proxy passes it on
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cookies := resp.Cookies(); resp.StatusCode != http.StatusSeeOther || len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("%s, %v", resp.Status, cookies)
	}
}

func TestReachableHost(t *testing.T) {
	for host, want := range map[string]string{"10.0.0.2": "10.0.0.2", "appliance.example": "appliance.example", "::1": "::1"} {
		if got := reachableHost(host); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
	for _, host := range []string{"0.0.0.0", "::", ""} {
		if got := net.ParseIP(reachableHost(host)); got == nil || got.IsUnspecified() {
			t.Errorf("%q: %v", host, got)
		}
	}
}
