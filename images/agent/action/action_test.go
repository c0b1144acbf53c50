package action

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckNamesWhatTheAgentCannotDo(t *testing.T) {
	err := Check("registry.local/a/brew2coffee:v1", "no such:reference:")
	if err == nil {
		t.Fatal("unknown actions were accepted")
	}
	for _, want := range []string{`"registry.local/a/brew2coffee:v1"`, `"no such:reference:"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if err := Check(); err != nil {
		t.Errorf("no images: %v", err)
	}
}

func TestVariables(t *testing.T) {
	env := &Env{Vars: map[string]string{"YES": "1", "N": "12", "BAD": "maybe", "EMPTY": ""}}
	if b, err := env.flag("YES", false); !b || err != nil {
		t.Errorf("YES is %v, %v", b, err)
	}
	if b, err := env.flag("EMPTY", true); !b || err != nil {
		t.Errorf("EMPTY is %v, %v; want the preset", b, err)
	}
	if _, err := env.flag("BAD", false); err == nil || !strings.Contains(err.Error(), `BAD is "maybe"`) {
		t.Errorf("BAD: %v", err)
	}
	if n, err := env.number("N", 3); n != 12 || err != nil {
		t.Errorf("N is %v, %v", n, err)
	}
	if _, err := env.number("BAD", 3); err == nil {
		t.Error("BAD was taken for a number")
	}
	if _, err := env.must("EMPTY"); err == nil || !strings.Contains(err.Error(), "EMPTY is not set") {
		t.Errorf("EMPTY: %v", err)
	}
}

func TestWritingCanRefuse(t *testing.T) {
	cancelled := errors.New("the deployment was cancelled")
	env := &Env{Writing: func(string) error { return cancelled }}
	if err := env.writing("/dev/sda"); !errors.Is(err, cancelled) || !strings.Contains(err.Error(), "/dev/sda") {
		t.Errorf("%v; want the device and the cause", err)
	}
	if err := (&Env{}).writing("/dev/sda"); err != nil {
		t.Error(err)
	}
}

func TestEnvNeedsOnlyItsVariables(t *testing.T) {
	env := &Env{}
	env.logf("a line of %d words", 4)
	env.report(Progress{Stage: "write"})
	if env.http() == nil {
		t.Error("no HTTP client")
	}
	if got := env.text("FS_TYPE", "ext4"); got != "ext4" {
		t.Errorf("FS_TYPE is %q; want the preset", got)
	}
	if got := env.path("/dev/sda"); got != "/dev/sda" {
		t.Errorf("the machine's own /dev/sda is at %q", got)
	}
	env.Root = "/tmp/machine"
	if got := env.path("/dev/sda"); got != "/tmp/machine/dev/sda" {
		t.Errorf("/dev/sda is at %q", got)
	}
	var line string
	env.Log = func(l string) { line = l }
	if env.logf("%s: %d", "a", 1); line != "a: 1" {
		t.Errorf("the operator reads %q", line)
	}
}
