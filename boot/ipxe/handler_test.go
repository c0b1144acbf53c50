package ipxe

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

// fixture is a handler over a complete set of files, and what it tells.
type fixture struct {
	*Handler
	sights []registry.Sighting
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{}
	f.Handler = &Handler{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Lookup: func(m registry.MAC) (registry.Entry, bool) {
			return registry.Entry{ID: "m-1", Name: "brave-otter", State: registry.Installed}, m != mac
		},
		Token: func(m registry.MAC) string { return "token-of-" + m.String() },
		Sight: func(s registry.Sighting) { f.sights = append(f.sights, s) }}
	for _, name := range []string{"amd64/vmlinuz", "amd64/initramfs.zst", "amd64/memtest.efi", "nbp/snponly.efi", "secret"} {
		path := filepath.Join(f.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// ask sends one request with a path as it stands, uncleaned.
func (f *fixture) ask(method, path, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	r.Host, r.RemoteAddr = host, "10.0.0.7:1234"
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

const host = "10.0.0.2:3000"

func TestScriptOverHTTP(t *testing.T) {
	for _, path := range []string{"/boot/52-54-00-12-34-56/auto.ipxe?arch=uefi-x64", "/boot/52:54:00:12:34:56/auto.ipxe?arch=uefi-x64", "/boot/525400123456/auto.ipxe?arch=uefi-x64"} {
		f := newFixture(t)
		f.Token = func(registry.MAC) string { return "b7Kq-_x.9" }
		w := f.ask("GET", path, host)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		golden(t, "unknown.ipxe", w.Body.Bytes())
		if len(f.sights) != 1 || f.sights[0].Stage != registry.StageScript || f.sights[0].MAC != mac || f.sights[0].Remote != netip.MustParseAddr("10.0.0.7") {
			t.Errorf("sightings %+v", f.sights)
		}
	}
}

func TestScriptTokenIsTheMachines(t *testing.T) {
	f := newFixture(t)
	got := f.ask("GET", "/boot/52-54-00-12-34-56/auto.ipxe", host).Body.String()
	if !strings.Contains(got, "dragonfly.token=token-of-52:54:00:12:34:56 ") {
		t.Errorf("got:\n%s", got)
	}
}

func TestInstalledMachineGetsNoToken(t *testing.T) {
	f := newFixture(t)
	f.Token = func(m registry.MAC) string { t.Errorf("a token was made for %s", m); return "x" }
	got := f.ask("GET", "/boot/52-54-00-99-99-99/auto.ipxe?arch=bios", host).Body.String()
	if !strings.Contains(got, "brave-otter, installed: boot its own disk") {
		t.Errorf("got:\n%s", got)
	}
}

func TestSomethingBroken(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		damage func(*fixture)
		want   string
	}{
		"no token":     {"arch=uefi-x64", func(f *fixture) { f.Token = func(registry.MAC) string { return "" } }, "no boot token"},
		"no kernel":    {"arch=uefi-x64", func(f *fixture) { os.Remove(filepath.Join(f.Dir, "amd64/vmlinuz")) }, "no agent image for amd64 (vmlinuz is missing)"},
		"no initramfs": {"arch=bios", func(f *fixture) { os.Remove(filepath.Join(f.Dir, "amd64/initramfs.zst")) }, "(initramfs.zst is missing)"},
		"no arm64":     {"arch=uefi-arm64", func(*fixture) {}, "no agent image for arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			test.damage(f)
			w := f.ask("GET", "/boot/52-54-00-12-34-56/auto.ipxe?"+test.path, host)
			for _, want := range []string{test.want, "sleep 10\n", "&try=1 ", "sanboot"} {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("no %q in %d:\n%s", want, w.Code, w.Body)
				}
			}
			if len(f.sights) != 1 || !strings.Contains(f.sights[0].Detail, test.want) {
				t.Errorf("the timeline does not say what is broken: %+v", f.sights)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	for path, test := range map[string]struct {
		stage registry.Stage
		kind  string
	}{
		"/boot/amd64/vmlinuz":                             {registry.StageKernel, "application/octet-stream"},
		"/boot/amd64/initramfs.zst?mac=52-54-00-12-34-56": {registry.StageInitrd, "application/octet-stream"},
		"/boot/nbp/snponly.efi":                           {registry.StageProgram, "application/efi"},
		"/boot/amd64/memtest.efi?mac=52-54-00-12-34-56":   {registry.StageProgram, "application/octet-stream"},
	} {
		f := newFixture(t)
		name, _, _ := strings.Cut(strings.TrimPrefix(path, "/boot/"), "?")
		head := f.ask("HEAD", path, host)
		want := "content of " + name
		if head.Code != 200 || head.Result().ContentLength != int64(len(want)) || head.Body.Len() != 0 || len(f.sights) != 0 {
			t.Errorf("HEAD %s: %d, %v, %d sightings", path, head.Code, head.Header(), len(f.sights))
		}
		get := f.ask("GET", path, host)
		if get.Code != 200 || get.Body.String() != want || get.Header().Get("Content-Type") != test.kind {
			t.Errorf("GET %s: %d %v %q", path, get.Code, get.Header(), get.Body)
		}
		if len(f.sights) != 1 || f.sights[0].Stage != test.stage || (f.sights[0].MAC == mac) != strings.Contains(path, "mac=") {
			t.Errorf("GET %s: sightings %+v", path, f.sights)
		}
	}
}

// The agent's tools have their hash in their name, and are no step of a boot.
func TestTools(t *testing.T) {
	f := newFixture(t)
	name := "tools-" + strings.Repeat("0a", 32) + ".tar.zst"
	if err := os.WriteFile(filepath.Join(f.Dir, "amd64", name), []byte("tools"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/boot/amd64/" + name: 200, "/boot/arm64/" + name: 404, "/boot/nbp/" + name: 404,
		"/boot/amd64/tools-.tar.zst": 404, "/boot/amd64/tools-" + strings.Repeat("0b", 32) + ".tar.zst": 404,
	} {
		if got := f.ask("GET", path, host); got.Code != want || len(f.sights) != 0 {
			t.Errorf("%s: %d %q, want %d; sightings %v", path, got.Code, got.Body, want, f.sights)
		}
	}
}

func TestAutoexecBesideTheProgram(t *testing.T) {
	w := newFixture(t).ask("GET", "/boot/nbp/autoexec.ipxe", "10.0.0.2:3000")
	golden(t, "autoexec.ipxe", w.Body.Bytes())
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("a", 64<<10)
	for path, status := range map[string]int{
		"/boot/":                                          404,
		"/boot/nbp/":                                      404,
		"/boot/nbp/secret":                                404,
		"/boot/nbp/../secret":                             404,
		"/boot/nbp/..%2fsecret":                           404,
		"/boot/nbp/undionly.kpxe":                         404, // on the list, not installed
		"/boot/nbp/snponly.efi/":                          404,
		"/boot/../secret":                                 404,
		"/boot/../vmlinuz":                                404,
		"/boot/riscv64/vmlinuz":                           404,
		"/boot/arm64/vmlinuz":                             404,
		"/boot/amd64/../../etc/passwd":                    404,
		"/boot/amd64\x00/vmlinuz":                         404,
		"/boot/" + long + "/vmlinuz":                      404,
		"/boot/" + long:                                   404,
		"/boot/nothing/auto.ipxe":                         400,
		"/boot/" + long + "/auto.ipxe":                    400,
		"/boot/01-00-5e-00-00-01/auto.ipxe":               400, // multicast
		"/boot/52-54-00-12-34-56/auto.ipxe/":              404,
		"/boot/52-54-00-12-34-56/auto.ipxe?arch=vax":      400,
		"/boot/52-54-00-12-34-56/auto.ipxe?arch=" + long:  400,
		"/boot/52-54-00-12-34-56;reboot/auto.ipxe":        400,
		"/boot/52-54-00-12-34-56%0ashell/auto.ipxe":       400,
		"/boot/52-54-00-12-34-56/auto.ipxe?try=-9999999":  200,
		"/boot/52-54-00-12-34-56/auto.ipxe?try=" + long:   200,
		"/boot/52-54-00-12-34-56/auto.ipxe?try=999999999": 200,
	} {
		w := newFixture(t).ask("GET", path, host)
		if w.Code != status || w.Body.Len() > 2000 || strings.Contains(w.Body.String(), "content of") {
			t.Errorf("%.60q: got %d and %d bytes, want %d: %.200s", path, w.Code, w.Body.Len(), status, w.Body)
		}
		if status != 200 && !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%.60q: refused as %s", path, w.Header().Get("Content-Type"))
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if w := newFixture(t).ask(method, "/boot/amd64/vmlinuz", host); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %d, allowed %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// TestHost holds that nothing but an address comes from the Host header into the
// kernel's command line.
func TestHost(t *testing.T) {
	for host, good := range map[string]bool{
		"10.0.0.2": true, "10.0.0.2:3000": true, "[fd00::2]:3000": true, "[fd00::2]": true,
		"dragonfly.example.org": true, "dragonfly:80": true,
		"": false, ":3000": false, "10.0.0.2:": false, "10.0.0.2:0": false, "10.0.0.2:65536": false, "10.0.0.2:+1": false,
		"a b": false, "a/b": false, "a?b": false, "a@b": false, "a dragonfly.token=x": false, "${ip}": false,
		"a\nshell": false, "a..b": false, "[fe80::1%eth0]:80": false, "a;b": false, "fd00::2": false,
		strings.Repeat("a.", 200): false,
	} {
		w := newFixture(t).ask("GET", "/boot/52-54-00-12-34-56/auto.ipxe", host)
		if (w.Code == 200) != good {
			t.Errorf("Host %.40q: got %d: %.100s", host, w.Code, w.Body)
		}
		if good && !strings.Contains(w.Body.String(), "dragonfly.url=http://"+host+" ") {
			t.Errorf("Host %q is not in:\n%s", host, w.Body)
		}
	}
}

// readerFrom is a ResponseWriter that, as net/http's does, can be handed a file.
type readerFrom struct {
	http.ResponseWriter
	handed bool
}

func (r *readerFrom) ReadFrom(from io.Reader) (int64, error) {
	if limited, ok := from.(*io.LimitedReader); ok {
		from = limited.R
	}
	_, r.handed = from.(*os.File)
	return io.Copy(r.ResponseWriter, from)
}

func TestFilesMaySendfile(t *testing.T) {
	f := newFixture(t)
	w := &readerFrom{ResponseWriter: httptest.NewRecorder()}
	f.ServeHTTP(w, httptest.NewRequest("GET", "/boot/amd64/vmlinuz", nil))
	if !w.handed {
		t.Error("the file did not reach the ResponseWriter as a file")
	}
}
