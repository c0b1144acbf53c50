package images

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	good := Options{Out: "o", Cache: "c"}
	got, err := good.complete()
	if err != nil || got.Arch != "amd64" || got.Flavour != Full || got.Log == nil {
		t.Errorf("got %+v, %v", got, err)
	}
	for says, o := range map[string]Options{
		`architecture "i386": want amd64 or arm64`: {Arch: "i386", Out: "o", Cache: "c"},
		`flavour "tiny": want full or cloud`:       {Flavour: "tiny", Out: "o", Cache: "c"},
		"no output directory":                      {Cache: "c"},
		"no directory for the package cache":       {Out: "o"},
	} {
		if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

// TestReadAgent takes real binaries: this test's own, and one without cgo.
func TestReadAgent(t *testing.T) {
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	arm := buildAgent(t, "arm64")
	if _, err := readAgent(arm, "arm64"); err != nil {
		t.Errorf("a static agent was refused: %v", err)
	}
	for path, says := range map[string]string{
		text:        "want a Linux binary",
		"/no/agent": "read the agent: ",
		arm:         "build it with GOARCH=amd64",
		dynamic(t):  "build it with CGO_ENABLED=0",
	} {
		if _, err := readAgent(path, "amd64"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", path, err, says)
		}
	}
}

// dynamic is an amd64 binary that asks for an interpreter.
func dynamic(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile(buildAgent(t, "amd64"))
	if err != nil {
		t.Fatal(err)
	}
	const firstSegmentType = 64 // right behind the ELF64 header
	body[firstSegmentType] = 3  // PT_INTERP
	path := filepath.Join(t.TempDir(), "dynamic")
	if err := os.WriteFile(path, body, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// buildAgent compiles the smallest static program.
func buildAgent(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", "agent", "main.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build an agent for %s: %v\n%s", arch, err, out)
	}
	return filepath.Join(dir, "agent")
}
