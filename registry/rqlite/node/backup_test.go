package node_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry/rqlite/node"
)

const sample = `["CREATE TABLE schema_migrations (version)", "INSERT INTO schema_migrations VALUES (7)", "CREATE TABLE machines (id)", "INSERT INTO machines VALUES ('a'), ('b')"]`

// copied is the database of a node as a file.
func copied(t *testing.T, n *node.Node) string {
	t.Helper()
	var out bytes.Buffer
	err := underLeader(t, func() error { out.Reset(); return n.Copy(t.Context(), &out) })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a b?.sqlite")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a copy holds is loaded into another node, and is there after a restart.
func TestCopyAndLoad(t *testing.T) {
	from := start(t, t.TempDir())
	if status, text := post(t, from, "/db/execute?transaction", sample); status != 200 || strings.Contains(text, "error") {
		t.Fatalf("write: %d %s", status, text)
	}
	path := copied(t, from)
	if got, err := node.Inspect(t.Context(), path); err != nil || got != (node.Contents{Schema: 7, Machines: 2}) {
		t.Errorf("the copy holds %+v, %v", got, err)
	}
	if beside, err := os.ReadDir(filepath.Dir(path)); err != nil || len(beside) != 1 {
		t.Errorf("looking left %v, %v", beside, err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	to := start(t, dir)
	if err := to.Load(file); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if status, text := post(t, start(t, dir), "/db/query", `["SELECT count(*) FROM machines"]`); status != 200 || !strings.Contains(text, "[[2]]") {
		t.Errorf("after a restart: %d %s", status, text)
	}
}

// One page of a database that is damaged is found, and a file that is none.
func TestInspectDamage(t *testing.T) {
	n := start(t, t.TempDir())
	if status, text := post(t, n, "/db/execute?transaction", sample); status != 200 || strings.Contains(text, "error") {
		t.Fatalf("write: %d %s", status, text)
	}
	path := copied(t, n)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"empty": nil, "text": []byte("dear diary"), "a page": append(bytes.Clone(whole[:4096]), bytes.Repeat([]byte{0xa5}, len(whole)-4096)...)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := node.Inspect(t.Context(), path); err == nil {
			t.Errorf("%s passes for %+v", name, got)
		}
	}
}

// Every member of a cluster gives the copy that the leader has.
func TestAMemberCopiesFromTheLeader(t *testing.T) {
	a, b, c := three(t)
	a.ask(t, "/db/execute?transaction", sample)
	for _, m := range []*member{a, b, c} {
		if got, err := node.Inspect(t.Context(), copied(t, m.node)); err != nil || got.Machines != 2 {
			t.Errorf("from %s: %+v, %v", m.name, got, err)
		}
	}
	if err := a.node.Load(strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "member of a cluster") {
		t.Errorf("load into a member: %v", err)
	}
}
