package boot

import (
	"strings"
	"testing"

	"dragonfly/registry"
)

var mac = registry.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}

func TestDecide(t *testing.T) {
	replace := Policy{IPXEROM: ReplaceROM}
	rom := Client{MAC: mac, Kind: IPXE, Arch: BIOS, IPXE: HTTP}
	with := func(c Client, change func(*Client)) Client { change(&c); return c }
	for name, test := range map[string]struct {
		client  Client
		policy  Policy
		serve   Serve
		program string
		rule    string // a part of it
	}{
		"bios":           {Client{MAC: mac, Kind: PXE, Arch: BIOS}, Policy{}, ProgramByTFTP, "undionly.kpxe", "BIOS firmware"},
		"uefi ia32":      {Client{MAC: mac, Kind: PXE, Arch: UEFIIA32}, Policy{}, Nothing, "", "no boot program for it"},
		"uefi x64":       {Client{MAC: mac, Kind: PXE, Arch: UEFIX64}, Policy{}, ProgramByTFTP, "snponly.efi", "UEFI x86-64"},
		"uefi x64 as 9":  {Client{MAC: mac, Kind: PXE, Arch: UEFIX64Spec}, Policy{}, ProgramByTFTP, "snponly.efi", "UEFI x86-64"},
		"uefi arm64":     {Client{MAC: mac, Kind: PXE, Arch: UEFIARM64}, Policy{}, ProgramByTFTP, "ipxe-arm64.efi", "UEFI arm64"},
		"http ia32":      {Client{MAC: mac, Kind: HTTPBoot, Arch: HTTPIA32}, Policy{}, Nothing, "", "no boot program for it"},
		"http x64":       {Client{MAC: mac, Kind: HTTPBoot, Arch: HTTPX64}, Policy{}, ProgramByHTTP, "snponly.efi", "by HTTP"},
		"http arm64":     {Client{MAC: mac, Kind: HTTPBoot, Arch: HTTPARM64}, Policy{}, ProgramByHTTP, "ipxe-arm64.efi", "by HTTP"},
		"itanium":        {Client{MAC: mac, Kind: PXE, Arch: 2}, Policy{}, Nothing, "", "no boot program"},
		"not a client":   {Client{MAC: mac, Arch: UEFIX64}, Policy{}, Nothing, "", "left alone"},
		"multicast":      {Client{MAC: registry.MAC{1}, Kind: PXE}, Policy{}, Nothing, "", "hardware address"},
		"no address":     {Client{Kind: PXE}, Policy{}, Nothing, "", "hardware address"},
		"ipxe rom":       {rom, Policy{}, Script, "", "script"},
		"ipxe rom, use":  {rom, Policy{IPXEROM: UseROM}, Script, "", "script"},
		"ipxe on itself": {with(rom, func(c *Client) { c.Arch = 2 }), Policy{}, Nothing, "", "no boot program"},
		"ipxe rom replaced": {rom, replace,
			ProgramByTFTP, "undionly.kpxe", "replaced by policy"},
		"ipxe loaded is not replaced": {with(rom, func(c *Client) { c.Broadcast = true }), replace,
			Script, "", "script"},
		"ipxe that keeps coming back": {with(rom, func(c *Client) { c.Loads = maxLoads }), replace,
			Script, "", "script"},
		"ipxe restarted in between": {with(rom, func(c *Client) { c.Loads = maxLoads - 1 }), replace,
			ProgramByTFTP, "undionly.kpxe", "replaced by policy"},
		"ipxe ia32":          {Client{MAC: mac, Kind: IPXE, Arch: UEFIIA32, IPXE: HTTP}, Policy{}, Script, "", "script"},
		"ipxe ia32, replace": {Client{MAC: mac, Kind: IPXE, Arch: UEFIIA32, IPXE: HTTP}, replace, Script, "", "script"},
		"ipxe ia32, old":     {Client{MAC: mac, Kind: IPXE, Arch: UEFIIA32}, Policy{}, Nothing, "", "no boot program for it"},
		"ipxe rom without http": {with(rom, func(c *Client) { c.IPXE = 0 }), Policy{},
			ProgramByTFTP, "undionly.kpxe", "speaks no HTTP"},
		"ipxe loaded without http": {with(rom, func(c *Client) { c.IPXE, c.Broadcast = 0, true }), Policy{},
			Nothing, "", "would not help"},
		"ipxe without http that keeps coming back": {with(rom, func(c *Client) { c.IPXE, c.Loads = 0, maxLoads }), Policy{},
			Nothing, "", "would not help"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Decide(test.client, test.policy)
			if got.Serve != test.serve || got.Program != test.program || !strings.Contains(got.Rule, test.rule) {
				t.Errorf("got %+v, want serve %d, program %q, rule with %q", got, test.serve, test.program, test.rule)
			}
		})
	}
}

func TestPlanFor(t *testing.T) {
	if got := PlanFor(registry.Entry{}, false, ""); got.Do != Agent || got.Rule == "" {
		t.Errorf("unknown machine: got %+v", got)
	}
	want := map[registry.State]Do{
		registry.Discovered:  Agent,
		registry.Ready:       DiskThenAgent,
		registry.Installing:  Agent,
		registry.Installed:   Disk,
		registry.Failed:      Disk,
		registry.Retired:     Disk,
		"of a later version": Disk, // when in doubt, do no harm
	}
	for _, state := range registry.States() {
		if _, ok := want[state]; !ok {
			t.Errorf("state %s has no plan in this test", state)
		}
	}
	for state, do := range want {
		if got := PlanFor(registry.Entry{State: state}, true, registry.OSIEHook); got.Do != do || got.Rule == "" {
			t.Errorf("%s: got %+v, want %s and a rule", state, got, do)
		}
	}
}

// What a machine is to boot next comes before what its state says; that a rescue is
// over does not.
func TestPlanForNext(t *testing.T) {
	for _, state := range registry.States() {
		for next, want := range map[registry.BootTarget]Do{registry.BootAgent: Agent, registry.BootOnce: Once, registry.BootDisk: Disk} {
			if next == registry.BootDisk && state != registry.Installing {
				want = PlanFor(registry.Entry{State: state}, true, registry.OSIEHook).Do
			}
			if got := PlanFor(registry.Entry{State: state, Next: next}, true, registry.OSIEHook); got.Do != want || got.Rule == "" {
				t.Errorf("%s, next %s: %+v", state, next, got)
			}
		}
		for osie, do := range map[registry.OSIE]Do{"": Worker, registry.OSIEAgent: Worker, registry.OSIEHook: Hook, registry.OSIESmee: Smee} {
			if got := PlanFor(registry.Entry{State: state, Next: registry.BootOSIE}, true, osie); got.Do != do || got.Rule == "" {
				t.Errorf("%s, for Tinkerbell, %s: %+v", state, osie, got)
			}
			if got := PlanFor(registry.Entry{State: state, Next: "osie:smee"}, true, osie); got.Do != Smee {
				t.Errorf("%s, for Tinkerbell by Smee, %s: %+v", state, osie, got)
			}
		}
	}
}

func TestParseArch(t *testing.T) {
	for _, arch := range Arches() {
		got, err := ParseArch(arch.String())
		if err != nil || got.String() != arch.String() || got.Program() != arch.Program() || got.CPU() != arch.CPU() {
			t.Errorf("%d: parsed %q as %d, %v", arch, arch, got, err)
		}
	}
	for bad, want := range map[string]string{
		"uefi-x86":                 "did you mean uefi-x64?",
		"http_arm64":               "did you mean http-arm64?",
		"BIOS":                     "want one of bios, uefi-ia32, uefi-x64, uefi-arm64, http-ia32, http-x64, http-arm64",
		"":                         "want one of bios",
		strings.Repeat("x", 1<<16): "want one of bios",
	} {
		_, err := ParseArch(bad)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
			t.Errorf("%.20q: got error %v, want one with %q", bad, err, want)
		}
	}
	if got := Arch(27).String(); got != "arch-27" {
		t.Errorf("an unknown architecture is called %q", got)
	}
}

func TestParseIPXEROM(t *testing.T) {
	for _, good := range []IPXEROM{UseROM, ReplaceROM} {
		if got, err := ParseIPXEROM(string(good)); got != good || err != nil {
			t.Errorf("%s: got %q, %v", good, got, err)
		}
	}
	if _, err := ParseIPXEROM("keep"); err == nil || !strings.Contains(err.Error(), `"replace"`) {
		t.Errorf("keep: got %v, want an error that names the choices", err)
	}
}

func TestAppendScriptPath(t *testing.T) {
	got := string(AppendScriptPath(nil, mac, UEFIX64))
	if want := "/boot/52-54-00-12-34-56/auto.ipxe?arch=uefi-x64"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
