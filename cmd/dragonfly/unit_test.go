package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const maxExposure = 2.5

// unitWithProgram is the unit as installed, in a directory of its own, with a
// program that exists here.
func unitWithProgram(t *testing.T) string {
	t.Helper()
	unit, err := os.ReadFile("../../systemd/dragonfly.service")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dragonfly.service")
	text := strings.ReplaceAll(string(unit), "/usr/bin/dragonfly", "/usr/bin/true")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnitIsHardened(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=yes", "--no-pager", unitWithProgram(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze (of Debian's package systemd): %v\n%s", err, out)
	}
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if level == nil {
		t.Fatalf("no verdict in:\n%s", out)
	}
	exposure, err := strconv.ParseFloat(string(level[1]), 64)
	if err != nil || exposure > maxExposure {
		t.Errorf("exposure %s, want at most %v\n%s", level[1], maxExposure, out)
	}
	t.Logf("exposure %v", exposure)
}

func TestUnitIsValid(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unitWithProgram(t)).CombinedOutput()
	if err != nil || strings.Contains(string(out), "dragonfly.service:") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The timer's example says what the command takes, and what systemd does.
func TestBackupUnitsAreValid(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"dragonfly-backup.service", "dragonfly-backup.timer"} {
		text, err := os.ReadFile("../../systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, line, ok := strings.Cut(string(text), "ExecStart=/usr/bin/dragonfly "); ok {
			line, _, _ = strings.Cut(line, "\n")
			cmd, rest, err := rootCommand().Find(strings.Fields(line))
			if err != nil || cmd.Name() != "backup" || cmd.ParseFlags(rest) != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		unit := strings.ReplaceAll(string(text), "/usr/bin/dragonfly", "/usr/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "dragonfly-backup.service"), filepath.Join(dir, "dragonfly-backup.timer")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "dragonfly-backup.") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What the examples show must be accepted.
func TestExampleSettings(t *testing.T) {
	yaml, err := os.ReadFile("../../systemd/dragonfly.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile("../../systemd/dragonfly.env")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`(?m)^# ([A-Z_]+=\S+)$`)
	var environ []string
	for _, match := range setting.FindAllStringSubmatch(string(env), -1) {
		environ = append(environ, match[1])
	}
	if len(environ) < 8 {
		t.Fatalf("only %d settings were found", len(environ))
	}
	uncommented := regexp.MustCompile(`(?m)^# ([a-z-]+: )`).ReplaceAllString(string(yaml), "$1")
	cfg, err := load(t, []string{"--boot"}, uncommented, environ...)
	if err != nil || cfg.Rqlite != "db:4001" || cfg.BootInterfaces[1] != "eth1" {
		t.Errorf("%+v, %v", cfg, err)
	}
}
