package ipxe

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/boot"
	"dragonfly/registry"
)

var mac = registry.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// golden compares got with testdata/NAME. UPDATE=1 writes the file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// agent is the script for an unknown machine.
func agent() Script {
	return Script{Plan: boot.PlanFor(registry.Entry{}, false, ""), MAC: mac, Arch: boot.UEFIX64,
		Base: "http://10.0.0.2:3000", Token: "b7Kq-_x.9"}
}

func known(state registry.State) Script {
	s := agent()
	s.Name, s.Plan = "brave-otter", boot.PlanFor(registry.Entry{State: state}, true, "")
	return s
}

// once is the script for a machine that boots something once.
func once(order registry.BootOrder) Script {
	s := agent()
	s.Name, s.Plan, s.Order = "brave-otter", boot.PlanFor(registry.Entry{State: registry.Ready, Next: registry.BootOnce}, true, ""), order
	s.Order.Key = "K3Y"
	return s
}

// tinkerbell is the script for a machine that Tinkerbell has work for. It boots from
// another port than the one Tinkerbell knows it by.
func tinkerbell(osie registry.OSIE) Script {
	s := known(registry.Installing)
	s.Plan = boot.PlanFor(registry.Entry{State: registry.Installing, Next: registry.BootOSIE}, true, osie)
	s.Worker = registry.MAC{0x52, 0x54, 0, 0xab, 0xcd, 0xef}
	s.Tinkerbell = Tinkerbell{OSIE: osie, Server: "10.0.0.3:42113", Smee: "http://10.0.0.3:7080"}
	return s
}

func TestScripts(t *testing.T) {
	with := func(s Script, change func(*Script)) Script { change(&s); return s }
	for name, script := range map[string]Script{
		"unknown.ipxe":       agent(),
		"unknown-arm64.ipxe": with(agent(), func(s *Script) { s.Arch = boot.UEFIARM64 }),
		"unknown-ipv6.ipxe":  with(agent(), func(s *Script) { s.Base = "http://[fd00::2]:3000" }),
		"discovered.ipxe":    known(registry.Discovered),
		"ready.ipxe":         known(registry.Ready),
		"installing.ipxe":    known(registry.Installing),
		"installed.ipxe":     known(registry.Installed),
		"failed.ipxe":        known(registry.Failed),
		"retired.ipxe":       known(registry.Retired),
		"memtest.ipxe":       once(registry.BootOrder{Kind: registry.KindMemtest}),
		"memtest-bios.ipxe":  with(once(registry.BootOrder{Kind: registry.KindMemtest}), func(s *Script) { s.Arch = boot.BIOS }),
		"iso.ipxe":           once(registry.BootOrder{Kind: registry.KindISO, ISO: "http://10.0.0.9/tool.iso"}),
		"script.ipxe":        once(registry.BootOrder{Kind: registry.KindScript, Script: "#!ipxe\necho ${net0/mac} && sleep 1"}),
		"once-problem.ipxe":  with(once(registry.BootOrder{}), func(s *Script) { s.Problem = "the server cannot look up now what is to be booted" }),
		"once-failed.ipxe": with(known(registry.Installed), func(s *Script) {
			s.Failed, s.Problem = "K3Y", "the server cannot write down now that this boot failed"
		}),
		"worker.ipxe": tinkerbell(registry.OSIEAgent),
		"hook.ipxe":   tinkerbell(registry.OSIEHook),
		"hook-arm64.ipxe": with(tinkerbell(registry.OSIEHook), func(s *Script) {
			s.Arch, s.Tinkerbell.TLS, s.Tinkerbell.Syslog = boot.UEFIARM64, true, "logs.lab.example"
		}),
		"hook-outside.ipxe": with(tinkerbell(registry.OSIEHook), func(s *Script) {
			s.Tinkerbell.HookURL, s.Tinkerbell.Arguments = "http://10.0.0.9/captain/", []string{"tink_worker_image=ghcr.io/tinkerbell/tink-agent:v0.25.0", "insecure_registries=10.0.0.9:5000,10.0.0.8:5000"}
		}),
		"smee.ipxe":         tinkerbell(registry.OSIESmee),
		"problem.ipxe":      with(agent(), func(s *Script) { s.Problem, s.Token = "the server can give out no boot token now", "" }),
		"problem-last.ipxe": with(agent(), func(s *Script) { s.Problem, s.Try = "the server can give out no boot token now", Tries }),
		"retry.ipxe":        with(agent(), func(s *Script) { s.Try = 2 }),
		"retry-last.ipxe":   with(agent(), func(s *Script) { s.Try = Tries }),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := script.Render()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, got)
		})
	}
}

func TestAutoexec(t *testing.T) {
	got, err := Autoexec("http://10.0.0.2:3000")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "autoexec.ipxe", got)
}

// TestRenderRefuses puts into each value what would be more than a value.
func TestRenderRefuses(t *testing.T) {
	for _, bad := range []string{"", "a b", "a\nshell", "a\rb", "a;b", "a||b", "a&b", "${net0/mac}", "a'b", `a"b`, `a\b`, "a#b", "a\x00b", "ä", "a\u2028b"} {
		for field, script := range map[string]func(*Script){
			"base":  func(s *Script) { s.Base = bad },
			"token": func(s *Script) { s.Token = bad },
			"server": func(s *Script) {
				*s = tinkerbell(registry.OSIEAgent)
				s.Tinkerbell.Server = bad
			},
			"smee": func(s *Script) {
				*s = tinkerbell(registry.OSIESmee)
				s.Tinkerbell.Smee = bad
			},
			"syslog": func(s *Script) {
				*s = tinkerbell(registry.OSIEHook)
				s.Tinkerbell.Server, s.Tinkerbell.Syslog = cmp.Or(bad, "x"), bad
			},
			"argument": func(s *Script) {
				*s = tinkerbell(registry.OSIEHook)
				s.Tinkerbell.Arguments = []string{bad}
			},
		} {
			s := agent()
			script(&s)
			if out, err := s.Render(); err == nil {
				t.Errorf("%s %q was accepted:\n%s", field, bad, out)
			}
		}
		if bad == "" || bad == "a b" { // fit for a base
			continue
		}
		if out, err := Autoexec(bad); err == nil {
			t.Errorf("base %q was accepted:\n%s", bad, out)
		}
	}
}

// What people wrote is shown, but for what would be more than text.
func TestTextIsOnlyText(t *testing.T) {
	for said, want := range map[string]string{
		"locked by ana (Ana's disk)": "locked by ana (Ana?s disk)", "50% done": "50? done", "Füße": "F??e", "ana@example.com": "ana?example.com",
		"a\nshell": "a?shell", "a\rb": "a?b", "a;b||c&&d": "a?b??c??d", "${net0/mac}": "??net0/mac?", `a"b\c#d`: "a?b?c?d", "a\x00b\u2028c": "a?b?c", "": "",
	} {
		for field, script := range map[string]func(s *Script, said string){
			"name":    func(s *Script, said string) { s.Name = said },
			"problem": func(s *Script, said string) { s.Problem = said },
			"rule":    func(s *Script, said string) { s.Plan.Rule = said },
		} {
			one, other := agent(), agent()
			script(&one, said)
			script(&other, want)
			got, err := one.Render()
			plain, wrong := other.Render()
			if err != nil || wrong != nil || !bytes.Equal(got, plain) || !bytes.Contains(got, []byte(want)) {
				t.Errorf("%s %q: %v, %v\n%s", field, said, err, wrong, got)
			}
		}
	}
}

// TestNoPlainExit keeps a trap shut: UEFI firmware takes a plain exit as success
// and waits in its setup for ever.
func TestNoPlainExit(t *testing.T) {
	files, err := filepath.Glob("testdata/*.ipxe")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(script), "#!ipxe\n") {
			t.Errorf("%s does not begin as a script", file)
		}
		if !strings.HasSuffix(string(script), "|| exit 1\n") {
			t.Errorf("%s does not end in a boot that may fail", file)
		}
	}
}

func TestPrograms(t *testing.T) {
	if got := strings.Join(Programs(), " "); got != "undionly.kpxe snponly.efi ipxe-arm64.efi" {
		t.Errorf("programs: %s", got)
	}
}
