package rqlite

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// indexing is a store whose machines are all in the index of searches: those of the
// contract are too few to be taken into it.
type indexing struct{ *Store }

func (s indexing) Commit(ctx context.Context, c registry.Change) error {
	if err := s.Store.Commit(ctx, c); err != nil {
		return err
	}
	return s.db.index(ctx, indexMost)
}

func TestStoreWithAnIndex(t *testing.T) {
	registrytest.Store(t, func(t *testing.T) registry.Store { return indexing{startStore(t)} })
}

// TestUnindexed changes, deletes and looks for machines before and after they are indexed,
// and those that take the rows of deleted ones.
func TestUnindexed(t *testing.T) {
	s := startStore(t)
	want := map[string]string{} // name by ID
	versions := map[string]int64{}
	n := 0
	commit := func(c registry.Change) {
		t.Helper()
		n++
		c.Op = fmt.Sprint("change ", n)
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	put := func(id, name string) {
		t.Helper()
		commit(registry.Change{Put: []registry.Machine{{ID: id, Name: name, Version: versions[id]}}})
		want[id], versions[id] = name, versions[id]+1
	}
	remove := func(id string) {
		t.Helper()
		commit(registry.Change{Delete: []registry.Machine{{ID: id, Version: versions[id]}}})
		delete(want, id)
		delete(versions, id)
	}
	check := func(unindexed int) {
		t.Helper()
		if n, err := s.db.unindexed(t.Context()); err != nil || n != unindexed {
			t.Errorf("%d are unindexed, %v; want %d", n, err, unindexed)
		}
		for _, word := range []string{"rack", "old", "new", "-3", "rack-new-3"} {
			filter := registry.Filter{{Values: []string{word}, Part: true}}
			found, err := s.Machines(t.Context(), registry.Query{Filter: filter})
			if err != nil {
				t.Fatal(err)
			}
			var got, all []string
			for _, m := range found {
				got = append(got, m.ID)
			}
			for id, name := range want {
				if filter.Match(registry.Machine{ID: id, Name: name}, time.Now()) {
					all = append(all, id)
				}
			}
			slices.Sort(got)
			slices.Sort(all)
			if !slices.Equal(got, all) {
				t.Errorf("%s: found %v, want %v", word, got, all)
			}
		}
	}
	index := func() {
		t.Helper()
		if err := s.db.index(t.Context(), indexMost); err != nil {
			t.Fatal(err)
		}
		check(0)
		err := s.db.write(t.Context(), statement{name: "compare the index with the machines",
			sql: `INSERT INTO machine_trigrams (machine_trigrams, rank) VALUES ('integrity-check', 1)`})
		if err != nil {
			t.Error(err)
		}
	}
	for i := range 4 {
		put(fmt.Sprint("m-", i), fmt.Sprint("rack-old-", i))
	}
	check(4)
	put("m-1", "rack-new-1") // neither is indexed
	remove("m-2")
	check(3)
	index()
	put("m-0", "rack-new-0") // both are
	remove("m-3")            // and leaves its row
	check(0)
	put("m-5", "rack-new-3")
	check(1)
	put("m-5", "rack-old-3")
	remove("m-0")
	check(1)
	index()
}

// TestIndexedInALull adds machines without a pause, more than there may ever be unindexed.
func TestIndexedInALull(t *testing.T) {
	s := startStore(t)
	const callers, changes, each = 8, 12, 300
	var all errgroup.Group
	for caller := range callers {
		all.Go(func() error {
			for i := range changes {
				c := registry.Change{Op: fmt.Sprint("fill ", caller, i)}
				for m := range each {
					name := fmt.Sprintf("rack-%d-%d-%d", caller, i, m)
					c.Put = append(c.Put, registry.Machine{ID: "m-" + name, Name: name})
				}
				if err := s.Commit(t.Context(), c); err != nil {
					return err
				}
				if n, err := s.db.unindexed(t.Context()); err != nil || n > maxUnindexed+2*callers*each { // a batch comes first
					return fmt.Errorf("%d are unindexed, %v", n, err)
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := s.db.unindexed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n < indexSome {
			break
		}
		time.Sleep(time.Millisecond)
	}
	// Another server knows of those that it did not add itself.
	if err := s.Commit(t.Context(), registry.Change{Op: "one more", Put: []registry.Machine{{ID: "m-last", Name: "last"}}}); err != nil {
		t.Fatal(err)
	}
	other := &Store{db: s.db, batch: &batcher{db: s.db}}
	if err := other.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.db.unindexed(t.Context()); err != nil || n == 0 || other.batch.unindexed != n {
		t.Errorf("another server counts %d of %d, %v", other.batch.unindexed, n, err)
	}
}
