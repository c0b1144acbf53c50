package ui

import (
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestAssetsAreServed(t *testing.T) {
	u := newUI(t, newRack(0))
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8"}
	for name := range u.assets.names {
		at := u.assets.url(name)
		plain, packed := get(t, u, at), get(t, u, at, "Accept-Encoding", "gzip")
		if plain.Code != http.StatusOK || plain.Header().Get("Content-Type") != types[path.Ext(name)] {
			t.Errorf("%s: status %d, type %q", at, plain.Code, plain.Header().Get("Content-Type"))
		}
		if plain.Header().Get("Content-Encoding") != "" || packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() >= plain.Body.Len() {
			t.Errorf("%s: %d bytes plain, %d packed", at, plain.Body.Len(), packed.Body.Len())
		}
		if !strings.Contains(plain.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s may not be kept", at)
		}
	}
	for _, missing := range []string{"", "app.js", "manifest.json", "../ui.go", u.assets.names["app.js"] + ".gz"} {
		if w := get(t, u, "/static/"+missing); w.Code == http.StatusOK {
			t.Errorf("/static/%s is served", missing)
		}
	}
	if w := get(t, u, u.assets.url("app.js"), "Accept-Encoding", "br, gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip is sent to one that refuses it")
	}
}

// Everything one page loads, packed, stays small enough for a slow link.
func TestAssetsAreSmall(t *testing.T) {
	u := newUI(t, newRack(0))
	total := 0
	for name := range u.assets.names {
		total += get(t, u, u.assets.url(name), "Accept-Encoding", "gzip").Body.Len()
	}
	if total > 100<<10 {
		t.Errorf("%d bytes, want at most 100 KiB", total)
	}
	t.Logf("%d bytes packed", total)
}

// An appliance may stand in a room without a way out: nothing is fetched from
// another host.
func TestNoOutsideAddress(t *testing.T) {
	u := newUI(t, newRack(3), func(c *Config) { c.Sessions = &desk{} })
	fetches := regexp.MustCompile(`(?i)(?:src|href|action|hx-get|hx-sse:connect)="([^"]*)"`)
	for _, page := range []string{"/machines", "/login", "/nothing"} {
		for _, found := range fetches.FindAllStringSubmatch(get(t, u, page).Body.String(), -1) {
			if at := found[1]; at != "" && !strings.HasPrefix(at, "/") && !strings.HasPrefix(at, "#") || strings.HasPrefix(at, "//") {
				t.Errorf("%s fetches %q", page, at)
			}
		}
	}
	css := string(u.assets.files[u.assets.names["app.css"]])
	for _, found := range regexp.MustCompile(`@import[^;]*|url\(["']?[^)]{0,40}`).FindAllString(css, -1) {
		if !regexp.MustCompile(`^url\(["']?data:`).MatchString(found) {
			t.Errorf("the style sheet fetches %q", found)
		}
	}
	// Names of XML namespaces are not fetched; errors of the libraries name pages to read.
	known := []string{"http://www.w3.org/", "https://alpinejs.dev/", "https://htmx.org/"}
	for _, script := range []string{"app.js", "theme.js"} {
		text := string(u.assets.files[u.assets.names[script]])
		for _, found := range regexp.MustCompile("(?:https?|wss?)://[^\"'`\\s)]+").FindAllString(text, -1) {
			if !slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(found, k) }) {
				t.Errorf("%s names %q", script, found)
			}
		}
	}
}

func TestEveryIconIsInTheSprite(t *testing.T) {
	k := newRack(0)
	for i := range 7 {
		k.machines = append(k.machines, testMachine(i))
	}
	u := newUI(t, k, func(c *Config) { c.Problems = func() []string { return []string{"x"} } })
	uses := regexp.MustCompile(`<use href="#([^"]+)"`)
	for _, page := range []string{"/machines", "/login", "/nothing"} {
		body := get(t, u, page).Body.String()
		for _, found := range uses.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(body, `<symbol id="`+found[1]+`"`) {
				t.Errorf("%s uses icon %s, which is not there", page, found[1])
			}
		}
	}
}

func TestAssetsNotBuilt(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"nothing":      {".gitkeep": {}},
		"half":         {"manifest.json": {Data: []byte(`{"app.js":"app-1.js"}`)}},
		"bad manifest": {"manifest.json": {Data: []byte(`[`)}},
	} {
		_, err := readAssets(files)
		if err == nil || name != "bad manifest" && !strings.Contains(err.Error(), "npm run build") {
			t.Errorf("%s: got %v, want one that says what to do", name, err)
		}
	}
}
