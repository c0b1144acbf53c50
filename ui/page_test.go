package ui

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// get asks u for a path; header is pairs of names and values.
func get(t testing.TB, u *UI, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	u.ServeHTTP(w, r)
	return w
}

// inWhole is a word that is kept whole.
var inWhole = regexp.MustCompile(`<span class="whole">([^<]*)</span>`)

// wantPage is the body of a page that must hold every text, and whose status
// must be 200.
func wantPage(t *testing.T, w *httptest.ResponseRecorder, texts ...string) string {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
	}
	return wantTexts(t, w, texts...)
}

func wantTexts(t *testing.T, w *httptest.ResponseRecorder, texts ...string) string {
	t.Helper()
	body := w.Body.String()
	read := inWhole.ReplaceAllString(body, "$1")
	for _, text := range texts {
		if !strings.Contains(body, text) && !strings.Contains(read, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	return body
}

func TestRootLeadsToMachines(t *testing.T) {
	w := get(t, newUI(t, newRack(0)), "/")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/machines" {
		t.Errorf("got %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestNoMachines(t *testing.T) {
	u := newUI(t, newRack(0))
	body := wantPage(t, get(t, u, "/machines"), "No machines yet", "eth0 10.77.0.2", "UEFI: PXE IPv4",
		"we only add the boot file", "dragonfly explain MAC", "<b>0</b> ready")
	if strings.Contains(body, "--boot") {
		t.Error("the page asks for --boot although boot services run")
	}
	off := newUI(t, newRack(0), func(c *Config) { c.Answering = nil })
	wantPage(t, get(t, off, "/machines"), "Boot services are off", "dragonfly serve --boot")
}

func TestThreeMachines(t *testing.T) {
	k := newRack(3)
	k.put(k.machines[1], registry.MachineBoot, "kernel: vmlinuz sent")
	u := newUI(t, k, func(c *Config) {
		c.Problems = func() []string { return []string{"agent image not built: run dragonfly image build"} }
	})
	body := wantPage(t, get(t, u, "/machines"),
		"amber-amber-0000", "node-0000.rack0.example.net", "3c:ec:ef:00:00:01", "10.77.0.1",
		"Dell PowerEdge R650", "7CZ31415X0", "2 × Xeon Gold 6338", "64 cores, 512 GiB", "8.64 TB", "4 disks",
		"kernel: vmlinuz sent", "just now", `<b>2</b> ready`, `<b>1</b> installed`, `<b>3</b> online`,
		"agent image not built: run dragonfly image build", "1–3 of 3", "ana", "Dragonfly 1.2.3")
	if n := strings.Count(body, `<tr id="m-`); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	for _, absent := range []string{"No machines yet", "rel=\"next\"", "rel=\"prev\"", "No account exists"} {
		if strings.Contains(body, absent) {
			t.Errorf("the page says %q", absent)
		}
	}
}

var rowName = regexp.MustCompile(`<th scope="row"><a href="/machines/[^"]+"><b>([^<]+)</b>`)
var nextPage = regexp.MustCompile(`rel="next" href="([^"]+)"`)
var prevPage = regexp.MustCompile(`rel="prev" href="([^"]+)"`)

func TestManyMachinesAreReadPageByPage(t *testing.T) {
	k := newRack(5000)
	slices.SortFunc(k.machines, func(a, b registry.Machine) int { return strings.Compare(a.Name, b.Name) })
	u := newUI(t, k)
	var names, pages []string
	path, body := "/machines", ""
	for {
		w := get(t, u, path)
		body = wantPage(t, w, fmt.Sprintf("%s–%s of 5,000", grouped(len(names)+1), grouped(len(names)+pageSize)))
		for _, found := range rowName.FindAllStringSubmatch(body, -1) {
			names = append(names, found[1])
		}
		pages = append(pages, path)
		next := nextPage.FindStringSubmatch(body)
		if next == nil {
			break
		}
		path = html.UnescapeString(next[1])
	}
	if len(names) != 5000 || !slices.IsSorted(names) || len(slices.Compact(names)) != 5000 {
		t.Fatalf("%d names, want 5000 different ones in order", len(names))
	}
	for i := len(pages) - 1; i > 0; i-- {
		prev := prevPage.FindStringSubmatch(body)
		if prev == nil {
			t.Fatalf("page %d has no way back", i)
		}
		body = wantPage(t, get(t, u, html.UnescapeString(prev[1])), "<b>"+names[pageSize*(i-1)]+"</b>")
	}
}

// Machines that are alike in what they are sorted by are each on one page.
func TestPagesOfAlikeMachines(t *testing.T) {
	for _, sort := range []string{"state", "-model"} {
		u, names := newUI(t, newRack(120)), []string(nil)
		for path := "/machines?sort=" + sort; path != ""; {
			body := wantPage(t, get(t, u, path))
			for _, found := range rowName.FindAllStringSubmatch(body, -1) {
				names = append(names, found[1])
			}
			path = ""
			if next := nextPage.FindStringSubmatch(body); next != nil {
				path = html.UnescapeString(next[1])
			}
		}
		if slices.Sort(names); len(names) != 120 || len(slices.Compact(names)) != 120 {
			t.Errorf("by %s: %d names, want 120 different ones", sort, len(names))
		}
	}
}

func TestPageBehindTheLast(t *testing.T) {
	wantPage(t, get(t, newUI(t, newRack(3)), "/machines?after=zzz"), "There is no machine after", "To the first page")
}

func TestRowsAreTheListOnly(t *testing.T) {
	body := wantPage(t, get(t, newUI(t, newRack(3)), "/machines/rows?after=amber-b"), "amber-basalt-0001", `hx-get="/machines/rows?after=amber-b&amp;shape=state,net,product,cpu,disks,doing"`)
	if strings.Contains(body, "<html") || strings.Contains(body, "amber-amber-0000") {
		t.Error("the fragment is more than the rows asked for")
	}
}

func TestHostileTextIsEscaped(t *testing.T) {
	const evil = "<img src=x onerror=alert(1)>\"'&\r\nid: 9\r\n\r\nevent: list"
	k := newRack(1)
	m := &k.machines[0]
	m.Name, m.Hostname, m.Reason, m.State = evil, evil, evil, registry.Failed
	m.Hardware.System = registry.System{Vendor: evil, Product: evil, Serial: evil}
	m.Hardware.CPU.Model = evil
	m.Hardware.Disks = []registry.Disk{{Name: evil, Model: evil, Bytes: -1}}
	k.put(*m, registry.MachineBoot, evil)
	k.machines = append(k.machines, testMachine(1))
	k.put(k.machines[1], registry.MachineBoot, evil)
	u := newUI(t, k, func(c *Config) {
		c.Answering, c.Problems = []string{evil}, func() []string { return []string{evil} }
		c.Sessions = &desk{user: evil}
	})
	for _, path := range []string{"/machines", "/machines/rows", "/machines?after=" + url.QueryEscape("zz"+evil), "/login?next=" + url.QueryEscape(evil), "/" + url.PathEscape(evil)} {
		if body := get(t, u, path).Body.String(); strings.Contains(body, "<img src=x") {
			t.Errorf("%s carries live HTML from a machine", path)
		}
	}
}

func TestUnknownState(t *testing.T) {
	k := newRack(1)
	k.machines[0].State = `"><script>`
	body := wantPage(t, get(t, newUI(t, k), "/machines"))
	if strings.Contains(body, `"><script>`) {
		t.Error("a state reaches the page unescaped")
	}
}

func TestHeaders(t *testing.T) {
	u := newUI(t, newRack(1))
	for _, path := range []string{"/machines", "/machines/rows", "/login", "/nothing", u.assets.url("app.js")} {
		h := get(t, u, path).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Security-Policy": policy,
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	for _, forbidden := range []string{"unsafe", "http:", "https:", "*"} {
		if strings.Contains(policy, forbidden) {
			t.Errorf("the policy allows %q", forbidden)
		}
	}
	for _, needed := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
		if !strings.Contains(policy, needed) {
			t.Errorf("the policy lacks %q", needed)
		}
	}
}

// Nothing inline: the policy would refuse it and the page would be half dead.
func TestPagesHaveNothingInline(t *testing.T) {
	u := newUI(t, newRack(30), func(c *Config) { c.Sessions = &desk{} })
	inline := regexp.MustCompile(`(?i)<script(?:>| [^>]*>[^<])|\sstyle=|<style|\son[a-z]+=|javascript:`)
	for _, path := range []string{"/machines", "/login", "/nothing"} {
		if found := inline.FindString(get(t, u, path).Body.String()); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
}

func TestGzip(t *testing.T) {
	u := newUI(t, newRack(100))
	plain := get(t, u, "/machines/rows")
	packed := get(t, u, "/machines/rows", "Accept-Encoding", "br, gzip")
	if packed.Header().Get("Content-Encoding") != "gzip" {
		t.Fatal("a browser that takes gzip gets none")
	}
	size := packed.Body.Len()
	reader, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(body, []byte("<section")) || len(body) < plain.Body.Len()*9/10 {
		t.Error("the packed page is another page")
	}
	if raw := plain.Body.Len(); raw > 200_000 || size > 16_000 {
		t.Errorf("100 rows are %d bytes, %d packed; want at most 200,000 and 16,000", raw, size)
	}
}

func TestStoreAway(t *testing.T) {
	k := newRack(3)
	u := newUI(t, k)
	k.setBroken(fmt.Errorf("read machines: %w", registry.ErrUnavailable))
	w := get(t, u, "/machines")
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", w.Code)
	}
	wantTexts(t, w, "The database does not answer", "Try again", "journalctl -u dragonfly")
	k.setBroken(fmt.Errorf("secret internals"))
	w = get(t, u, "/machines")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("status %d, or the cause leaks: %s", w.Code, w.Body)
	}
	k.setBroken(nil)
	wantPage(t, get(t, u, "/machines"), "amber-amber-0000")
}

func TestNotFound(t *testing.T) {
	w := get(t, newUI(t, newRack(0)), "/nothing")
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", w.Code)
	}
	wantTexts(t, w, "There is no page at /nothing.", `href="/machines"`)
}

func TestDeny(t *testing.T) {
	w := httptest.NewRecorder()
	newUI(t, newRack(0)).Deny(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/machines", nil), http.StatusForbidden, "only from this host")
	if w.Code != http.StatusForbidden || w.Header().Get("Content-Security-Policy") != policy {
		t.Errorf("status %d, policy %q", w.Code, w.Header().Get("Content-Security-Policy"))
	}
	wantTexts(t, w, "Forbidden", "Only from this host.")
}

func TestRowOf(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	seen := registry.Machine{ID: "m-1", Name: "quiet-otter", State: registry.Discovered, CreatedAt: now.Add(-time.Hour)}
	ready := seen
	ready.State, ready.RegisteredAt, ready.SeenAt = registry.Ready, now.Add(-time.Minute), now.Add(-time.Second)
	ready.Address, ready.Hostname = netip.MustParseAddr("10.0.0.5"), "web1"
	failed := ready
	failed.State, failed.Reason = registry.Failed, "disk is gone"
	for _, c := range []struct {
		name         string
		machine      registry.Machine
		last         note
		alias, doing string
		online       bool
	}{
		{"discovered", seen, note{}, "m-1", "seen for the first time", false},
		{"discovered and doing", seen, note{now, "dhcp: offered"}, "m-1", "dhcp: offered", false},
		{"ready", ready, note{}, "web1", "registered", true},
		{"failed", failed, note{now, "online"}, "web1", "disk is gone", true},
	} {
		r := rowOf(c.machine, c.last, now)
		if r.Alias != c.alias || r.Doing != c.doing || r.Online != c.online {
			t.Errorf("%s: got %q, %q, %v", c.name, r.Alias, r.Doing, r.Online)
		}
	}
}
