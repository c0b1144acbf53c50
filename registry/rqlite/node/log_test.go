package node

import (
	"bytes"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// A message may have more than one line.
func TestTellLines(t *testing.T) {
	var out bytes.Buffer
	tell(slog.New(slog.NewTextHandler(&out, nil)), "[cluster] 2026/11/29 12:00:00 failed to dial: refused\nclose: again")
	if !strings.Contains(out.String(), `part=cluster says="failed to dial: refused\nclose: again"`) {
		t.Error(out.String())
	}
}

// What raft and the store of its snapshots write comes into the log as lines of one
// message, and what was there before stays as it was.
func TestDivert(t *testing.T) {
	var out bytes.Buffer
	before := os.Stderr
	restore, err := Divert(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	late := log.New(os.Stderr, "[raft] ", log.LstdFlags)
	late.Print(`[ERROR] failed to commit logs: error="no space left on device"`)
	log.New(os.Stderr, "[snapshot-store] ", log.LstdFlags).Print("store initialized using /tmp/x")
	network := hclog.New(&hclog.LoggerOptions{Name: "raft-net", Output: hclog.DefaultOutput}) // as raft makes it
	network.Error("accept", "error", "EOF")
	fmt.Fprint(os.Stderr, "half a line")
	restore()
	late.Print("[ERROR] after the end")
	if os.Stderr != before {
		t.Error("standard error is not what it was")
	}
	want := []string{
		`level=WARN msg=rqlite part=raft says="failed to commit logs: error=\"no space left on device\""`,
		`level=DEBUG msg=rqlite part=snapshot-store says="store initialized using /tmp/x"`,
		`level=WARN msg=rqlite part="" says="raft-net: accept: error=EOF"`,
		`level=DEBUG msg=rqlite part="" says="half a line"`,
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	for i, line := range lines {
		if !strings.HasSuffix(line, want[i]) {
			t.Errorf("line %d is %s\nwant ... %s", i, line, want[i])
		}
	}
}
