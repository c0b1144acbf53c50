package main

import (
	"context"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// boot registers a machine as an agent does, by way of its boot script.
func (r *rig) boot(t *testing.T, mac registry.MAC, product string) api.RegisterReply {
	t.Helper()
	_, script := r.get(t, "/boot/"+mac.String()+"/auto.ipxe")
	_, token, _ := strings.Cut(script, "dragonfly.token=")
	token, _, _ = strings.Cut(token, " ")
	reply, err := (&api.Client{Base: r.url, Token: token}).Register(t.Context(), api.RegisterRequest{MAC: mac,
		Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Product: product, Serial: "SN-" + product},
			Disks: []registry.Disk{{Name: "sda", Bytes: 1 << 40}}}})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestMachineCommands(t *testing.T) {
	r := start(t, testConfig(t))
	one := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	two := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 2}, "R2")
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"machine list model:r1 -o name", 0, one.Name},
		{"machine edit " + one.Name + " --name rack1-7 --owner ana --label rack=a1", 0, "rack1-7 is at version 2"},
		{"machine edit rack1-7 --label rack", 2, "want KEY=VALUE"},
		{"machine edit rack1-7", 2, "nothing to change"},
		{"machine edit rack1-7 --name NO", 1, "; name: want"},
		{"machine tag rack1-7 gpu lab", 0, "gpu lab"},
		{"machine tag rack1-7 lab-", 0, "rack1-7: gpu\n"},
		{"machine list tag:gpu label.rack:a1 -o wide", 0, "ana"},
		{"machine list --sort -model -o name", 0, "\nrack1-7\n"},
		{"machine list name:rack1-7 --fields name,labels.rack,hardware.disks,hardware.disks.bytes", 0, "rack1-7  a1           bytes=1099511627776,name=sda  1099511627776\n"},
		{"machine list name:rack1-7 --fields hardware.system.vendor -o json", 0, `"vendor": "Acme"`},
		{"machine list --fields nam", 1, "did you mean name?"},
		{"machine list stat:x", 1, "did you mean state?"},
		{"machine list -tag:gpu -o name", 0, two.Name},
		{"machine list tag:gpu -name:rack1-7 -label.rack:a1 -o name", 0, ""},
		{"machine list -tga:gpu", 1, "did you mean tag?"},
		{"machine list -o tabel", 2, "did you mean table?"},
		{"machine lock rack1-7 --note copying", 0, "is locked"},
		{"machine delete rack1-7 --yes", 4, "rack1-7: 423: rack1-7 is not deleted: the machine is locked by console: copying"},
		{"machine retire rack1-7", 4, "rack1-7: 423: rack1-7 is not retired: the machine is locked by console: copying"},
		{"machine delete rack1-7", 2, "confirm with --yes"},
		{"machine show rack1-7", 0, "1 TiB"},
		{"machine show rack1-7", 0, "locked: copying, by console"},
		{"machine show rack1-7 -o json", 0, `"by": "console"`},
		{"machine show nobody", 3, "not found"},
		{"machine unlock rack1-7", 0, "is not locked"},
		{"machine retire nobody", 3, "nobody: 404: machine \"nobody\": not found"},
		{"machine retire rack1-7 nobody", 3, "rack1-7 is retired"},
		{"machine restore rack1-7", 0, "rack1-7 is ready"},
		{"audit rack1-7", 0, "machine.unlocked"},
		{"audit " + one.ID + " --limit 1 -o json", 0, `"machine.restored"`},
		{"machine lock --filter model:r1 --yes", 0, "rack1-7 is locked"},
		{"machine retire --filter vendor:acme --yes", 0, "rack1-7 is not retired: the machine is locked by console; unlock it first\n1 machine to retire: " + two.Name},
		{"machine retire --filter vendor:acme --yes", 4, "no machine is left to retire"},
		{"machine list state:retired -o name", 0, two.Name + "\n"},
		{"machine restore --filter vendor:acme", 2, "confirm with --yes"},
		{"machine restore --filter state:retired --yes", 0, two.Name + " is ready"},
		{"machine unlock --filter locked:yes --yes", 0, "rack1-7 is not locked"},
		{"machine tag --filter vendor:acme --yes lab gpu-", 0, two.Name + " is tagged"},
		{"machine list tag:lab -tag:gpu -o name", 0, "rack1-7\n"},
		{"machine lock --filter stat:x --yes", 1, "did you mean state?"},
		{"machine lock --filter model:none --yes", 0, "no machine matches model:none"},
		{"machine lock --filter model:r1 rack1-7", 2, "want either"},
		{"machine lock rack1-7 rack1-7", 1, "the same machine"},
		{"machine delete --filter model:r2 --yes", 0, two.Name + " is gone"},
		{"machine delete rack1-7 --yes", 0, "rack1-7 is gone"},
		{"machine list -o name", 0, ""},
		{"machine retire", 2, "want either the names or IDs"},
	} {
		code, out, errs := r.cli(t, "", strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", step.args, code, out, errs, step.code, step.want)
		}
	}
}

func TestMachinesByHardwareAddress(t *testing.T) {
	r := start(t, testConfig(t))
	one := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 0xa1}, "R1")
	r.boot(t, registry.MAC{2, 0, 0, 0, 0, 0xa2}, "R2")
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"machine show 02:00:00:00:00:a1", 0, one.Name},
		{"machine show 02-00-00-00-00-A1", 0, one.Name},
		{"machine show 0200000000a1", 0, one.Name},
		{"machine show 02:00:00:00:00:ff", 3, "no machine has the hardware address 02:00:00:00:00:ff"},
		{"machine show 02:00:00:00:00", 3, "not found"},
		{"machine edit 02:00:00:00:00:a1 --name rack1-7", 0, "rack1-7 is at version 2"},
		{"machine tag 02:00:00:00:00:a1 gpu", 0, "rack1-7: gpu"},
		{"machine lock 02:00:00:00:00:a1 02:00:00:00:00:a2", 0, "rack1-7 is locked"},
		{"machine unlock rack1-7 02:00:00:00:00:ff", 3, "machine 02:00:00:00:00:ff: 404: no machine"},
		{"machine unlock 02:00:00:00:00:a1", 0, "rack1-7 is not locked"},
		{"memtest 02:00:00:00:00:a1 --yes", 0, "rack1-7"},
		{"deployment list --machine 02:00:00:00:00:a1", 0, "rack1-7"},
		{"rule test 02:00:00:00:00:a1", 0, "RULE  APPLIES"},
		{"audit 02:00:00:00:00:a1", 0, "machine.unlocked"},
		{"machine merge rack1-7 02:00:00:00:00:a1 --yes", 2, "the same record"},
		{"machine edit 02:00:00:00:00:a2 --name 0200000000a1", 0, "0200000000a1 is at version"},
		{"machine show 0200000000a1", 0, "02:00:00:00:00:a2"}, // it is called that
		{"machine show 02:00:00:00:00:a1", 0, "rack1-7"},
	} {
		code, out, errs := r.cli(t, "", strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", step.args, code, out, errs, step.code, step.want)
		}
	}
}

func TestMachineMergeCommand(t *testing.T) {
	r := start(t, testConfig(t))
	one := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	r.get(t, "/boot/02:00:00:00:00:02/auto.ipxe") // its other port is only seen
	port := ""
	err := waitFor(t.Context(), func() bool {
		_, out, _ := r.cli(t, "", "machine", "list", "mac:02:00:00:00:00:02", "-o", "name")
		port = strings.TrimSpace(out)
		return port != ""
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"machine merge " + one.Name, 2, "want the record that stays"},
		{"machine merge " + one.Name + " " + port, 2, "confirm with --yes"},
		{"machine merge " + one.Name + " nobody --yes", 3, "not found"},
		{"machine merge nobody " + port + " --yes", 3, "not found"},
		{"machine merge " + one.Name + " " + one.ID + " --yes", 2, "the same record"},
		{"machine merge " + one.Name + " " + port + " --yes", 0, one.Name + " has 2 hardware addresses and is at version 2"},
		{"machine list -o name", 0, one.Name},
		{"machine show " + port, 3, "not found"},
		{"machine show " + one.Name, 0, port},
	} {
		code, out, errs := r.cli(t, "", strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", step.args, code, out, errs, step.code, step.want)
		}
	}
}

func TestEventsCommand(t *testing.T) {
	r := start(t, testConfig(t))
	r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	ctx, cancel := context.WithCancel(t.Context())
	out := &until{want: "registered for the first time", found: cancel}
	if code := run(ctx, []string{"events", "--after", "0", "--data-dir", r.cfg.DataDir}, out, out); code != 0 {
		t.Errorf("exit code %d: %s", code, out.text.String())
	}
}

// until calls found once want was written to it.
type until struct {
	text  strings.Builder
	want  string
	found func()
}

func (u *until) Write(p []byte) (int, error) {
	u.text.Write(p)
	if strings.Contains(u.text.String(), u.want) {
		u.found()
	}
	return len(p), nil
}

// Terms that begin with a minus are no flags, with "--" before them and without.
func TestTurnedRound(t *testing.T) {
	for args, want := range map[string]string{
		"machine list -tag:old":           "machine list --term=-tag:old",
		"machine list -tag:old -- -tag:x": "machine list --term=-tag:old -- -tag:x",
		"machine list -- -tag:old":        "machine list -- -tag:old",
		"machine list -o name":            "machine list -o name",
		"machine show -tag:old":           "machine show -tag:old",
	} {
		if got := strings.Join(turnedRound(strings.Fields(args)), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
