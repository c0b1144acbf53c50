package rqlite_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rqlite/gorqlite"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
)

func TestNodesThatMigrateAtOnce(t *testing.T) {
	n := startNode(t, t.TempDir())
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = rqlite.Open(t.Context(), rqlite.Config{HTTP: n.Client()}) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	n := startNode(t, t.TempDir())
	embedded(t, n)
	execute(t, rqlite.Config{HTTP: n.Client()}, `INSERT INTO schema_migrations VALUES (4096, '4096_future', 0)`)
	_, err := rqlite.Open(t.Context(), rqlite.Config{HTTP: n.Client()})
	if err == nil || !strings.Contains(err.Error(), "4096") || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer schema: %v", err)
	}
}

// execute runs SQL behind the store's back.
func execute(t *testing.T, cfg rqlite.Config, sql ...string) {
	t.Helper()
	conn, err := gorqlite.OpenWithClient("http://embedded/?disableClusterDiscovery=true", cfg.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteContext(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestSearchOfAnOlderDatabase upgrades one whose index still knew where the trigrams are.
func TestSearchOfAnOlderDatabase(t *testing.T) {
	n := startNode(t, t.TempDir())
	before, after := create(1), create(2)
	if err := embedded(t, n).Commit(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	var undo []string
	for trigger, when := range map[string]string{"machines_insert": "INSERT", "machines_search": "UPDATE", "machines_delete": "DELETE"} {
		undo = append(undo, "DROP TRIGGER "+trigger, "CREATE TRIGGER "+trigger+" AFTER "+when+" ON machines BEGIN SELECT 1; END")
	}
	execute(t, rqlite.Config{HTTP: n.Client()}, append(undo, `DROP INDEX machines_hostname`, `DROP INDEX machines_arch`, `DROP INDEX machines_locked`, `DROP TABLE machine_unindexed`, `DROP TABLE machine_vocabulary`, `DROP TABLE machine_trigrams`,
		`CREATE VIRTUAL TABLE machine_trigrams USING fts5 (search, content = 'machines', content_rowid = 'row', tokenize = 'trigram')`,
		`INSERT INTO machine_trigrams (machine_trigrams) VALUES ('rebuild')`, `DELETE FROM schema_migrations WHERE version >= 7`)...)
	s := embedded(t, n)
	for _, c := range []registry.Change{after, {Op: "delete", Delete: []registry.Machine{{ID: before.Put[0].ID, Version: 1}}}} {
		wantFound(t, s, "me-000001", before.Put[0].ID)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	wantFound(t, s, "me-000001")
	wantFound(t, s, "me-000002", after.Put[0].ID)
}

// wantFound looks for a word.
func wantFound(t *testing.T, s *rqlite.Store, word string, want ...string) {
	t.Helper()
	found, err := s.Machines(t.Context(), registry.Query{Filter: registry.Filter{{Values: []string{word}, Part: true}}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range found {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%s: found %v, want %v", word, ids, want)
	}
}

func TestPrune(t *testing.T) {
	s := embedded(t, startNode(t, t.TempDir()))
	change := create(1)
	if err := s.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), change); err != nil {
		t.Errorf("an operation younger than the limit was forgotten: %v", err)
	}
	if err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), change); err == nil {
		t.Error("an operation older than the limit is still known")
	}
}

// A machine that tells of other hardware at each boot, and much of it, has the newest.
func TestHistoryIsBoundedInBytes(t *testing.T) {
	s := embedded(t, startNode(t, t.TempDir()))
	first := create(1)
	id := first.Put[0].ID
	if err := s.Commit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 500<<10) // which does not get shorter
	for i := range 10 {
		_, _ = rand.Read(noise)
		h := registry.Hardware{Memory: registry.Memory{Bytes: int64(i)}, Disks: []registry.Disk{{Model: base64.StdEncoding.EncodeToString(noise)}}}
		c := registry.Change{Op: fmt.Sprint("boot ", i), History: []registry.HardwareRecord{{Machine: id, At: time.UnixMilli(int64(i + 1)), Hardware: h}}}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	history, err := s.History(t.Context(), id, 100)
	if err != nil || len(history) != 2 || history[0].Hardware.Memory.Bytes != 9 {
		t.Errorf("%d records, %v; want the newest two", len(history), err)
	}
}

// The log of a deployment goes some time after its end.
func TestPruneLines(t *testing.T) {
	s := embedded(t, startNode(t, t.TempDir()))
	c := registry.Change{Op: "deploy"}
	for id, ended := range map[string]time.Time{"d-old": time.Now().Add(-91 * 24 * time.Hour), "d-new": time.Now(), "d-runs": {}} {
		c.Deployments = append(c.Deployments, registry.Deployment{ID: id, CreatedAt: time.Now().Add(-100 * 24 * time.Hour), EndedAt: ended})
		c.Lines = append(c.Lines, registry.DeploymentLine{Deployment: id, LinePosition: registry.LinePosition{Attempt: 1}, Text: "line"})
	}
	if err := errors.Join(s.Commit(t.Context(), c), s.Prune(t.Context(), time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"d-old": 0, "d-new": 1, "d-runs": 1} {
		if lines, err := s.Lines(t.Context(), id, registry.LinePosition{}, 10); err != nil || len(lines) != want {
			t.Errorf("%s: %v, %v; want %d", id, lines, err, want)
		}
	}
}
