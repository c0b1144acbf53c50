package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dragonfly/registry/rqlite/node"
)

func start(t *testing.T, dir string) *node.Node {
	t.Helper()
	began := time.Now()
	n, err := node.Start(t.Context(), node.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// post sends statements to the node and returns the status and the answer.
func post(t *testing.T, n *node.Node, path, body string) (int, string) {
	t.Helper()
	resp, err := n.Client().Post("http://node"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// What a long log would have the next start do again is a snapshot when a node stops.
func TestCloseMakesASnapshotOfMuch(t *testing.T) {
	for _, c := range []struct{ kilobytes, snapshots int }{{4, 0}, {6000, 1}} {
		dir := t.TempDir()
		n := start(t, dir)
		write := fmt.Sprintf(`["CREATE TABLE a (x)", "INSERT INTO a VALUES (zeroblob(%d))"]`, c.kilobytes<<10)
		if status, text := post(t, n, "/db/execute?transaction", write); status != 200 || strings.Contains(text, "error") {
			t.Fatalf("write: %d %s", status, text)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(dir, "rqlite", "rsnapshots", "*-*", "meta.json"))
		if err != nil || len(found) != c.snapshots {
			t.Errorf("%d kB: %d snapshots, %v; want %d", c.kilobytes, len(found), err, c.snapshots)
		}
		again := start(t, dir)
		if _, text := post(t, again, "/db/query?level=none", `["SELECT length(x) FROM a"]`); !strings.Contains(text, fmt.Sprintf("[[%d]]", c.kilobytes<<10)) {
			t.Errorf("after a restart: %s", text)
		}
	}
}

func TestDataIsThereAtTheSecondStart(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	if status, text := post(t, first, "/db/execute?transaction", `["CREATE TABLE a (x)", "INSERT INTO a VALUES (7)"]`); status != 200 || strings.Contains(text, "error") {
		t.Fatalf("write: %d %s", status, text)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, dir)
	if _, text := post(t, second, "/db/query?level=none", `["SELECT x FROM a"]`); !strings.Contains(text, "[[7]]") {
		t.Errorf("the first read after a restart gives %s", text)
	}
}

func TestASecondNodeInTheDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	_, err := node.Start(t.Context(), node.Config{Dir: dir})
	if err == nil {
		t.Fatal("a second node started")
	}
	for _, want := range []string{dir, "process " + strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func TestANodeKeepsItsID(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Start(t.Context(), node.Config{Dir: dir, ID: "north"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Start(t.Context(), node.Config{Dir: dir, ID: "south"}); err == nil || !strings.Contains(err.Error(), "north") {
		t.Errorf("under another id: %v", err)
	}
	start(t, dir) // and without naming it
}

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Start(t.Context(), node.Config{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as the directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := node.Start(ctx, node.Config{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was called off: %v", err)
	}
}

func TestDataIsPrivate(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rqlite"), 0o755); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	info, err := os.Stat(filepath.Join(dir, "rqlite"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %s, %v", info.Mode(), err)
	}
}

func TestClosedNodeRefusesRequests(t *testing.T) {
	n := start(t, t.TempDir())
	began := time.Now()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("closed after %s", time.Since(began).Round(time.Microsecond))
	_, err := n.Client().Get("http://node/readyz")
	if !errors.Is(err, node.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOnlyWhatWorksWithoutAListenerIsServed(t *testing.T) {
	n := start(t, t.TempDir())
	for _, path := range []string{"/status", "/db/execute?queue", "/debug/pprof/", "/db/load", "/"} {
		if _, err := n.Client().Post("http://node"+path, "application/json", http.NoBody); err == nil {
			t.Errorf("%s was served", path)
		}
	}
}
