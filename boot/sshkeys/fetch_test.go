package sshkeys

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/registry"
)

const (
	anaBare = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqX7a8X/+6x3fDK0uku1PL8Cr+i5zHKmMp19Gg/0tmB"
	benKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVyeBmOa6YqAyLNGuMPcWqBsimCTtDYzuNI4pGILbyz ben@example"
)

// site is a server of keys over https, and a fetcher that trusts it.
func site(t *testing.T, pages map[string]string) (*Fetcher, string, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		page, ok := pages[r.URL.Path]
		switch {
		case strings.HasPrefix(page, "-> "):
			http.Redirect(w, r, page[3:], http.StatusFound)
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/slow":
			<-r.Context().Done()
		case !ok:
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, page)
		}
	}))
	t.Cleanup(server.Close)
	return &Fetcher{Client: server.Client()}, server.URL, &asked
}

func TestFetch(t *testing.T) {
	f, base, asked := site(t, map[string]string{"/ana.keys": anaBare + "\n\n# home\n" + benKey + "\r\n" + anaBare + "\n", "/moved": "-> /ana.keys"})
	want := []string{anaBare + " ana@127.0.0.1", benKey}
	for range 3 {
		if got, err := f.Fetch(t.Context(), base+"/ana.keys"); err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	f.kept[base+"/ana.keys"] = answer{nil, time.Now().Add(-keepFor)}
	if got, err := f.Fetch(t.Context(), base+"/ana.keys"); err != nil || !slices.Equal(got, want) || asked.Load() != 2 {
		t.Errorf("later: %q, %v, asked %d times", got, err, asked.Load())
	}
	if got, err := f.Fetch(t.Context(), base+"/moved"); err != nil || len(got) != 2 {
		t.Errorf("moved: %q, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, benKey) }))
	defer plain.Close()
	var many strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintf(&many, "%s %d\n", anaBare, i)
	}
	f, base, _ := site(t, map[string]string{"/none.keys": "\n", "/page": "<!DOCTYPE html>\n<html>", "/large": strings.Repeat("#\n", maxBody), "/many": many.String(),
		"/loop": "-> /loop", "/down": "-> " + plain.URL + "/ana.keys", "/old": "ssh-dss AAAAB3NzaC1kc3MAAACBAO"})
	for address, want := range map[string]string{
		base + "/nobody.keys":                   "there is no such page (404); is the name right?",
		base + "/none.keys":                     "no key is published there",
		base + "/page":                          `line 1: "<!DOCTYPE html>" is no public SSH key`,
		base + "/large":                         "the answer is larger than 262144 bytes",
		base + "/many":                          "65 keys are published there; at most 64",
		base + "/broken":                        "the server answered 502 Bad Gateway",
		base + "/loop":                          "it leads on more than 3 times",
		base + "/down":                          "it leads to an address without https",
		base + "/old":                           "line 1: ",
		plain.URL + "/ana.keys":                 "want https, or anybody on the way could add a key",
		"https://ana:secret@127.0.0.1/a.keys":   "has no password in it",
		"https:///ana.keys":                     "is no address of keys",
		"https://a b/ana.keys":                  "is no address of keys",
		"ftp://127.0.0.1/ana.keys":              "want https",
		"https://127.0.0.1:1/ana.keys":          "connection refused; else give the keys themselves in place of their address",
		"https://x/" + strings.Repeat("a", 600): "is no address of keys",
	} {
		got, err := f.Fetch(t.Context(), address)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 800 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.80s: %q, %v; want %q", address, got, err, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Fetch(ctx, base+"/slow"); err == nil || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("slow: %v", err)
	}
	if len(f.kept) > 0 {
		t.Errorf("failures were kept: %v", f.kept)
	}
	stranger := &Fetcher{}
	if _, err := stranger.Fetch(t.Context(), base+"/none.keys"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
}

func TestExpand(t *testing.T) {
	f, base, _ := site(t, map[string]string{"/ana.keys": anaBare + "\n" + benKey})
	got, err := f.Expand(t.Context(), []string{benKey, base + "/ana.keys", anaBare})
	if want := []string{benKey, anaBare + " ana@127.0.0.1", anaBare}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = f.Expand(t.Context(), []string{base + "/x.keys", benKey, "http://x/y.keys"})
	invalid, ok := errors.AsType[*registry.InvalidError](err)
	if !ok || len(invalid.Fields) != 2 || invalid.Fields[0].Pointer != "/0" || invalid.Fields[1].Pointer != "/2" {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	f := &Fetcher{}
	for i := range 3 * keepMost {
		f.keep(fmt.Sprint(i), []string{benKey})
	}
	if len(f.kept) > keepMost {
		t.Errorf("%d are kept", len(f.kept))
	}
	if _, ok := f.known(fmt.Sprint(3*keepMost - 1)); !ok {
		t.Error("the last is not")
	}
}

func TestOwner(t *testing.T) {
	for address, want := range map[string]string{"https://github.com/ana.keys": "ana@github.com", "https://git.example:8443/u/ben.keys?x=1": "ben@git.example", "https://git.example/": "git.example", "https://git.example": "git.example", "https://git.example/a%20b.keys": "git.example"} {
		u, _ := url.Parse(address)
		if got := owner(u); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}
