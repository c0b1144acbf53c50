package ipxe

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
)

// forTinkerbell is a handler to which every machine is one that Tinkerbell has work for.
func forTinkerbell(t *testing.T, where Tinkerbell) *fixture {
	f := newFixture(t)
	f.Tinkerbell = where
	f.Lookup = func(registry.MAC) (registry.Entry, bool) {
		return registry.Entry{ID: "m-1", Name: "brave-otter", State: registry.Installing, Next: registry.BootOSIE, Boots: registry.MAC{0x52, 0x54, 0, 0xab, 0xcd, 0xef}}, true
	}
	return f
}

func TestTinkerbellOverHTTP(t *testing.T) {
	const server, smee = "10.0.0.3:42113", "http://10.0.0.3:7080"
	for name, c := range map[string]struct {
		where Tinkerbell
		want  string
	}{
		"agent":               {Tinkerbell{Server: server}, "dragonfly.mac=52:54:00:12:34:56 grpc_authority=10.0.0.3:42113 tinkerbell_tls=false tinkerbell_insecure_tls=false worker_id=52:54:00:ab:cd:ef "},
		"agent, nowhere":      {Tinkerbell{}, "echo Dragonfly: nobody said where Tink server is\n"},
		"hook, outside":       {Tinkerbell{OSIE: registry.OSIEHook, Server: server, HookURL: "http://x/y"}, "set hook http://x/y\n"},
		"hook, not installed": {Tinkerbell{OSIE: registry.OSIEHook, Server: server}, "echo Dragonfly: the server has no installation environment of Tinkerbell (hook/vmlinuz-x86_64 is missing)\n"},
		"hook, nowhere":       {Tinkerbell{OSIE: registry.OSIEHook}, "echo Dragonfly: nobody said where Tink server is\n"},
		"smee":                {Tinkerbell{OSIE: registry.OSIESmee, Smee: smee}, "chain --replace --autofree http://10.0.0.3:7080/ipxe/script/52-54-00-ab-cd-ef/auto.ipxe "},
		"smee, nowhere":       {Tinkerbell{OSIE: registry.OSIESmee, Server: server}, "echo Dragonfly: nobody said where Smee is\n"},
	} {
		f := forTinkerbell(t, c.where)
		got := f.ask("GET", "/boot/52-54-00-12-34-56/auto.ipxe?arch=uefi-x64", host).Body.String()
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: want %q in\n%s", name, c.want, got)
		}
		if c.where.OSIE != "" && strings.Contains(got, "token") {
			t.Errorf("%s: a token is for our agent alone:\n%s", name, got)
		}
	}
}

func TestHookFiles(t *testing.T) {
	f := forTinkerbell(t, Tinkerbell{OSIE: registry.OSIEHook, Server: "10.0.0.3:42113"})
	if err := os.MkdirAll(filepath.Join(f.Dir, "hook"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vmlinuz-x86_64", "initramfs-x86_64", "secret"} {
		if err := os.WriteFile(filepath.Join(f.Dir, "hook", name), []byte("content of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "hook.ipxe", f.ask("GET", "/boot/52-54-00-12-34-56/auto.ipxe?arch=uefi-x64", host).Body.Bytes())
	f.sights = nil
	for path, want := range map[string]string{
		"/boot/hook/vmlinuz-x86_64?mac=52-54-00-12-34-56":   "content of vmlinuz-x86_64",
		"/boot/hook/initramfs-x86_64?mac=52-54-00-12-34-56": "content of initramfs-x86_64",
	} {
		if w := f.ask("GET", path, host); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if len(f.sights) != 2 || f.sights[0].MAC != mac || f.sights[0].Stage == f.sights[1].Stage {
		t.Errorf("sightings %+v", f.sights)
	}
	for _, path := range []string{"/boot/hook/secret", "/boot/hook/../amd64/vmlinuz", "/boot/hook/vmlinuz-aarch64", "/boot/hook/"} {
		if w := f.ask("GET", path, host); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestTinkerbellCheck(t *testing.T) {
	good := Tinkerbell{Server: "tink.lab.example:42113", Smee: "http://[fd00::3]:7080", HookURL: "https://x/hook", Syslog: "10.0.0.3", Arguments: []string{"a=b,c@d"}}
	for _, osie := range []registry.OSIE{"", registry.OSIEAgent, registry.OSIEHook, registry.OSIESmee} {
		if good.OSIE = osie; good.Check() != nil {
			t.Errorf("%s: %v", osie, good.Check())
		}
	}
	for name, c := range map[string]struct {
		change func(*Tinkerbell)
		want   string
	}{
		"no port":      {func(t *Tinkerbell) { t.Server = "10.0.0.3" }, `server of Tink "10.0.0.3": want host:port, as in 10.0.0.3:42113`},
		"a URL":        {func(t *Tinkerbell) { t.Server = "http://x:1" }, "want host:port"},
		"no server":    {func(t *Tinkerbell) { t.Server = "" }, "nobody said where Tink server is"},
		"no Smee":      {func(t *Tinkerbell) { t.OSIE, t.Smee = registry.OSIESmee, "" }, "nobody said where Smee is"},
		"Smee":         {func(t *Tinkerbell) { t.Smee = "10.0.0.3:7080" }, "want http://host:port/path"},
		"a query":      {func(t *Tinkerbell) { t.HookURL = "http://x/?a=b" }, "want http://host:port/path"},
		"a password":   {func(t *Tinkerbell) { t.HookURL = "http://a:b@x/" }, "want http://host:port/path"},
		"a space":      {func(t *Tinkerbell) { t.HookURL = "http://x/a%20b" }, "may not have"},
		"a port":       {func(t *Tinkerbell) { t.Syslog = "x:514" }, "without a port"},
		"two in one":   {func(t *Tinkerbell) { t.Arguments = []string{"a b"} }, `kernel argument "a b"`},
		"of the shell": {func(t *Tinkerbell) { t.Arguments = []string{"${x}"} }, "may not have"},
	} {
		bad := good
		bad.OSIE = ""
		c.change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
}
