package registry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/journal"
	"dragonfly/registry/lastknown"
	"dragonfly/registry/registrytest"
)

// switched is a store whose plug can be pulled.
type switched struct {
	registry.Store
	off  atomic.Bool
	mute atomic.Bool // a change is applied, and its answer is lost
}

func newSwitched() *switched { return &switched{Store: registrytest.Memory()} }

func (s *switched) err() error {
	if s.off.Load() {
		return errors.Join(registry.ErrUnavailable, errors.New("pulled"))
	}
	return nil
}

func (s *switched) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Machines(ctx, q)
}

func (s *switched) Versions(ctx context.Context, ids []string) (map[string]int64, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Versions(ctx, ids)
}

func (s *switched) Commit(ctx context.Context, c registry.Change) error {
	if err := s.err(); err != nil {
		return err
	}
	err := s.Store.Commit(ctx, c)
	if s.mute.Load() {
		return registry.ErrUnavailable
	}
	return err
}

func (s *switched) Events(ctx context.Context, after int64, limit int) ([]registry.Event, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Events(ctx, after, limit)
}

func (s *switched) LastEvent(ctx context.Context) (int64, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Store.LastEvent(ctx)
}

func (s *switched) Touch(ctx context.Context, seen map[string]time.Time) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Touch(ctx, seen)
}

func (s *switched) Seen(ctx context.Context, after time.Time) (map[string]time.Time, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Seen(ctx, after)
}

func (s *switched) Deployments(ctx context.Context, q registry.DeploymentQuery) ([]registry.Deployment, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Deployments(ctx, q)
}

func (s *switched) Track(ctx context.Context, tracks map[string]registry.Track) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Track(ctx, tracks)
}

func (s *switched) Ping(ctx context.Context) error {
	if s.mute.Load() {
		return registry.ErrUnavailable
	}
	return s.err()
}

// host is a server's disk, and the registry that runs on it.
type host struct {
	*registry.Registry
	dir     string
	cfg     journal.Config
	journal *journal.Journal
	stop    func()
}

// start starts a registry on the host's disk.
func (h *host) start(t *testing.T, store registry.Store) error {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	h.cfg.Dir = filepath.Join(h.dir, "journal")
	j, err := journal.Open(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := lastknown.Open(filepath.Join(h.dir, "lastknown.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.NewWithStandby(t.Context(), store, &registry.Standby{Journal: j, Dead: j, Copy: c, Documents: c}, log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	if err == nil {
		r.Equip(testTools())
		go func() { done <- r.Run(ctx) }()
	} else {
		done <- nil
	}
	h.Registry, h.journal = r, j
	stopped := false
	h.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, j.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(h.stop)
	return err
}

func startHost(t *testing.T, store registry.Store, cfg journal.Config) *host {
	t.Helper()
	h := &host{dir: t.TempDir(), cfg: cfg}
	if err := h.start(t, store); err != nil {
		t.Fatal(err)
	}
	return h
}

// settled waits until the database is back, and fails the test when it is not.
func (h *host) settled(t *testing.T) {
	t.Helper()
	time.Sleep(3 * time.Second)
	if o := h.Outage(); !o.Since.IsZero() {
		t.Fatalf("the database is still away: %+v", o)
	}
	if n := h.journal.Stats().Records; n != 0 {
		t.Fatalf("%d records wait still", n)
	}
}

// countOf counts the events of a kind that the store has.
func countOf(t *testing.T, store registry.Store, kind registry.Kind) (n int) {
	t.Helper()
	for _, k := range kindsOf(t, store) {
		if k == kind {
			n++
		}
	}
	return n
}

func named(last byte, hostname string) registry.Registration {
	reg := registration(last, "", "SN-"+string('A'+rune(last)))
	reg.Hostname = hostname
	return reg
}

func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		known, _ := mustRegister(t, h.Registry, named(1, "before"))
		time.Sleep(time.Second)
		store.off.Store(true)
		pulled := time.Now()
		time.Sleep(2 * time.Second) // nobody asks; it is noticed still
		if h.Outage().Since.IsZero() {
			t.Fatal("the outage was not noticed")
		}

		if m, created := mustRegister(t, h.Registry, named(1, "meanwhile")); created || !m.Journaled || m.ID != known.ID || m.Hostname != "meanwhile" {
			t.Errorf("a known machine: created %v, %+v", created, m)
		}
		fresh, created := mustRegister(t, h.Registry, named(2, "new"))
		if !created || !fresh.Journaled || fresh.State != registry.Ready {
			t.Errorf("a new machine: created %v, %+v", created, fresh)
		}
		if again, created := mustRegister(t, h.Registry, named(2, "newer")); created || again.ID != fresh.ID {
			t.Errorf("a new machine, again: created %v, %s; want %s", created, again.ID, fresh.ID)
		}
		wantStale(t, h, fresh, pulled)
		wantRefused(t, h, known)

		store.off.Store(false)
		h.settled(t)
		for id, hostname := range map[string]string{known.ID: "meanwhile", fresh.ID: "newer"} {
			m, err := h.Machine(t.Context(), id)
			if err != nil || m.Hostname != hostname || m.Journaled || !m.AsOf.IsZero() {
				t.Errorf("afterwards: %+v, %v; want hostname %s", m, err, hostname)
			}
		}
		if n := countOf(t, store, registry.MachineRegistered); n != 4 {
			t.Errorf("%d registrations were written, want 4", n)
		}
		if _, err := h.Edit(t.Context(), fresh.ID, registry.AnyVersion, registry.Patch{Owner: new("ana")}); err != nil {
			t.Errorf("an edit after the outage: %v", err)
		}
		if _, err := h.Machine(t.Context(), "nobody"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("a machine that is not there, after the outage: %v", err)
		}
	})
}

// What was deleted is said by the database alone: not by what was known last, nor before
// the journal was applied, and not of a machine that it never had.
func TestDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		known, _ := mustRegister(t, h.Registry, named(1, "known"))
		gone, _ := mustRegister(t, h.Registry, named(2, "gone"))
		want := func(when string, want error, ids ...string) {
			t.Helper()
			deleted, err := h.Deleted(t.Context(), []string{known.ID, "m-of-others", gone.ID})
			if !errors.Is(err, want) || !slices.Equal(deleted, ids) {
				t.Errorf("%s: %v, %v", when, deleted, err)
			}
		}
		want("at first", nil)
		if deleted, err := h.Deleted(t.Context(), nil); err != nil || len(deleted) > 0 {
			t.Errorf("of none: %v, %v", deleted, err)
		}
		if err := h.Delete(t.Context(), gone.ID, registry.AnyVersion); err != nil {
			t.Fatal(err)
		}
		want("when one was deleted", nil, gone.ID)
		store.off.Store(true)
		want("when the database goes away", registry.ErrUnavailable)
		mustRegister(t, h.Registry, named(3, "new"))
		want("while it is away", registry.ErrUnavailable)
		h.stop()
		store.off.Store(false)
		store.mute.Store(true) // the journal is not applied until the database answers
		if err := h.start(t, store); err != nil {
			t.Fatal(err)
		}
		want("before the journal is applied", registry.ErrUnavailable)
		store.mute.Store(false)
		h.settled(t)
		want("afterwards", nil, gone.ID)
	})
}

// wantStale checks what is read while the database is away.
func wantStale(t *testing.T, h *host, fresh registry.Machine, pulled time.Time) {
	t.Helper()
	for _, id := range []string{fresh.ID, fresh.Name} {
		m, err := h.Machine(t.Context(), id)
		if err != nil || !m.Journaled || m.AsOf.IsZero() || m.AsOf.After(pulled) {
			t.Errorf("machine %s while away: %+v, %v", id, m, err)
		}
	}
	if list, err := h.Machines(t.Context(), registry.Query{Limit: 10, Brief: true}); err != nil || len(list) != 2 {
		t.Errorf("list while away: %+v, %v", list, err)
	}
	if e, ok := h.Lookup(mac(2)); !ok || e.ID != fresh.ID {
		t.Errorf("the boot path does not know the new machine: %+v", e)
	}
	// It may be there in the database: nobody can tell.
	if _, err := h.Machine(t.Context(), "nobody"); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("an unknown machine while away: %v", err)
	}
}

// wantRefused checks that nothing an operator asks for is done later.
func wantRefused(t *testing.T, h *host, m registry.Machine) {
	t.Helper()
	before := h.journal.Stats().Appended
	ctx := by(t, "ana")
	_, edit := h.Edit(ctx, m.ID, registry.AnyVersion, registry.Patch{Owner: new("ana")})
	_, tell := h.Instruct(ctx, m.ID, registry.Reboot)
	_, lock := h.Lock(ctx, m.ID, "mine")
	_, retire := h.Retire(ctx, m.ID, registry.AnyVersion)
	for what, err := range map[string]error{"edit": edit, "instruct": tell, "lock": lock, "retire": retire,
		"delete": h.Delete(ctx, m.ID, registry.AnyVersion)} {
		if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "away since") {
			t.Errorf("%s while away: %v", what, err)
		}
	}
	if after := h.journal.Stats().Appended; after != before {
		t.Errorf("%d records were kept of what was refused", after-before)
	}
}

func TestLostAnswerIsNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		store.mute.Store(true)
		m, created := mustRegister(t, h.Registry, named(1, "a"))
		if !created || !m.Journaled {
			t.Errorf("created %v, %+v", created, m)
		}
		h.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageScript, Detail: "served"})
		time.Sleep(time.Second)
		store.mute.Store(false)
		h.settled(t)
		if n := countOf(t, store, registry.MachineRegistered); n != 1 {
			t.Errorf("%d registrations were written, want the one", n)
		}
		if n := countOf(t, store, registry.MachineBoot); n != 1 {
			t.Errorf("%d boot steps were written, want the one", n)
		}
		if stored, err := h.Machine(t.Context(), m.ID); err != nil || stored.Journaled {
			t.Errorf("afterwards: %+v, %v", stored, err)
		}
	})
}

func TestRestartWithoutTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		known, _ := mustRegister(t, h.Registry, named(1, "a"))
		time.Sleep(2 * time.Second)
		store.off.Store(true)
		time.Sleep(2 * time.Second)
		first, _ := mustRegister(t, h.Registry, named(2, "b"))
		h.stop()
		time.Sleep(time.Hour)

		if err := h.start(t, store); err != nil {
			t.Fatal(err)
		}
		if m, err := h.Machine(t.Context(), known.Name); err != nil || m.AsOf.IsZero() || time.Since(m.AsOf) < time.Hour {
			t.Errorf("known before the restart: %+v, %v", m, err)
		}
		if m, err := h.Machine(t.Context(), first.ID); err != nil || !m.Journaled {
			t.Errorf("journaled before the restart: %+v, %v", m, err)
		}
		second, created := mustRegister(t, h.Registry, named(3, "c"))
		if !created || !second.Journaled {
			t.Errorf("after the restart: created %v, %+v", created, second)
		}
		h.stop()

		store.off.Store(false) // the journal is applied by whoever starts next
		if err := h.start(t, store); err != nil {
			t.Fatal(err)
		}
		h.settled(t)
		stored, err := store.Machines(t.Context(), registry.Query{IDs: []string{known.ID, first.ID, second.ID}})
		if err != nil || len(stored) != 3 {
			t.Errorf("the database has %d of the 3 machines, %v", len(stored), err)
		}
		if last, err := store.LastEvent(t.Context()); err != nil || h.Feed().Last() != last {
			t.Errorf("the feed is at %d of %d, %v", h.Feed().Last(), last, err)
		}
	})
}

// A database that is restored while it is away, or without anybody noticing that it was.
func TestRestoredDatabase(t *testing.T) {
	for _, away := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := newSwitched()
			h := startHost(t, store, journal.Config{})
			kept, _ := mustRegister(t, h.Registry, named(1, "a"))
			time.Sleep(10 * time.Second)
			lost, _ := mustRegister(t, h.Registry, named(2, "b"))
			time.Sleep(10 * time.Second)
			heard, before := make(chan error, 1), h.Feed().Last()
			go func() {
				_, err := h.Feed().Next(t.Context(), before)
				heard <- err
			}()

			older, inBackup := registrytest.Memory(), kept
			inBackup.Version = 0
			if err := older.Commit(t.Context(), registry.Change{Op: "restored", Put: []registry.Machine{inBackup}, Events: []registry.Event{{At: time.Now(), Kind: registry.MachineRegistered, Machine: kept.ID}}}); err != nil {
				t.Fatal(err)
			}
			store.off.Store(away)
			time.Sleep(10 * time.Second)
			time.Sleep(time.Millisecond)
			synctest.Wait() // nobody reads it now
			store.Store = older
			store.off.Store(false)
			time.Sleep(10 * time.Second)

			if err := <-heard; !errors.Is(err, registry.ErrRewound) {
				t.Errorf("a listener got %v", err)
			}
			if last := h.Feed().Last(); last != 1 {
				t.Errorf("the feed is at %d, want 1", last)
			}
			if _, known := h.Lookup(kept.MACs[0]); !known {
				t.Error("what the older database has is not found")
			}
			if _, known := h.Lookup(lost.MACs[0]); known {
				t.Error("what the older database lacks is found")
			}
			if m, _ := mustRegister(t, h.Registry, named(3, "c")); m.Journaled {
				t.Error("it does not go on")
			}
			if events, err := h.Feed().Next(t.Context(), 1); err != nil || events[0].Seq != 2 {
				t.Errorf("afterwards: %v, %v", events, err)
			}
		})
	}
}

func TestFirstStartNeedsTheDatabase(t *testing.T) {
	store := newSwitched()
	store.off.Store(true)
	h := &host{dir: t.TempDir()}
	if err := h.start(t, store); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a start with nothing known: %v", err)
	}
}

func TestFullJournalRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{MaxRecords: 2})
		store.off.Store(true)
		mustRegister(t, h.Registry, named(1, "a"))
		mustRegister(t, h.Registry, named(2, "b"))
		if _, _, err := h.Register(t.Context(), named(3, "c")); !errors.Is(err, registry.ErrJournalFull) {
			t.Errorf("a registration too many: %v", err)
		}
		if e, ok := h.Lookup(mac(3)); ok {
			t.Errorf("what was refused is shown: %+v", e)
		}
		store.off.Store(false)
		h.settled(t)
		if n := countOf(t, store, registry.MachineRegistered); n != 2 {
			t.Errorf("%d registrations were written, want 2", n)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		store.off.Store(true)
		mustRegister(t, h.Registry, named(1, "a"))
		for _, record := range []string{`not JSON`, `{"invented":1}`,
			`{"enrolment":{"op":"x","id":"m-1","at":"2026-01-01T00:00:00Z","registration":{"mac":"02:00:00:00:00:09","hardware":{"memory":{"bytes":-1}}}}}`} {
			if err := h.journal.Append([]byte(record), true); err != nil {
				t.Fatal(err)
			}
		}
		mustRegister(t, h.Registry, named(2, "b"))
		store.off.Store(false)
		h.settled(t)
		if n := countOf(t, store, registry.MachineRegistered); n != 2 {
			t.Errorf("%d registrations were written, want 2", n)
		}
		stats, letters, err := h.Journal()
		if err != nil || stats.Dead != 3 || len(letters) != 3 {
			t.Errorf("dead letters: %+v, %+v, %v", stats, letters, err)
		}
		for _, l := range letters {
			if l.Why == "" || len(l.Record) == 0 {
				t.Errorf("a letter that says nothing: %+v", l)
			}
		}
	})
}

// TestLaterRegistrationStays has two servers on one database, of which one cannot
// reach it.
func TestLaterRegistrationStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := registrytest.Memory()
		cut := &switched{Store: memory}
		a, b := startHost(t, cut, journal.Config{}), startHost(t, memory, journal.Config{})
		m, _ := mustRegister(t, b.Registry, named(1, "first"))
		time.Sleep(2 * time.Second)
		cut.off.Store(true)
		mustRegister(t, a.Registry, named(1, "second, where it could not be written"))
		foreseen, _ := mustRegister(t, a.Registry, named(2, "new on both"))
		time.Sleep(time.Second)
		mustRegister(t, b.Registry, named(1, "third"))
		real, _ := mustRegister(t, b.Registry, named(2, "new on both"))
		cut.off.Store(false)
		a.settled(t)
		for _, h := range []*host{a, b} {
			if stored, err := h.Machine(t.Context(), m.ID); err != nil || stored.Hostname != "third" {
				t.Errorf("the later registration is gone: %+v, %v", stored, err)
			}
			if e, ok := h.Lookup(mac(2)); !ok || e.ID != real.ID || h.Count() != 2 {
				t.Errorf("the machine that was new on both: %+v of %d; want %s", e, h.Count(), real.ID)
			}
			if _, err := h.Machine(t.Context(), foreseen.ID); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("the machine as it was foreseen: %v", err)
			}
		}
	})
}

func TestDatabaseWasRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		mustRegister(t, h.Registry, named(1, "not in the backup"))
		time.Sleep(time.Second)
		store.off.Store(true)
		kept, _ := mustRegister(t, h.Registry, named(2, "in the journal"))
		store.Store = registrytest.Memory()
		store.off.Store(false)
		h.settled(t)
		list, err := h.Machines(t.Context(), registry.Query{})
		if err != nil || len(list) != 1 || list[0].ID != kept.ID || h.Count() != 1 {
			t.Errorf("after the database was restored: %+v of %d, %v", list, h.Count(), err)
		}
	})
}

func TestBootStepsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{})
		m, _ := mustRegister(t, h.Registry, named(1, "a"))
		time.Sleep(time.Second)
		store.off.Store(true)
		h.Sight(registry.Sighting{At: time.Now(), MAC: mac(1), Stage: registry.StageDHCP, Detail: "while away"})
		h.Sight(registry.Sighting{At: time.Now(), MAC: mac(9), Stage: registry.StageDHCP, Detail: "never seen before"})
		time.Sleep(time.Second)
		store.off.Store(false)
		h.settled(t)
		timeline, err := h.Timeline(t.Context(), m.ID, 0, 10)
		found := false
		for _, e := range timeline {
			found = found || strings.Contains(e.Message, "while away")
		}
		if err != nil || !found {
			t.Errorf("the step is not on the timeline: %+v, %v", timeline, err)
		}
		if _, ok := h.Lookup(mac(9)); !ok {
			t.Error("the machine that was discovered while away is unknown")
		}
	})
}

// blinded is a store of which nobody may read machines for a while.
type blinded struct {
	registry.Store
	now atomic.Bool
}

func (b *blinded) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if b.now.Load() {
		return nil, errors.New("read")
	}
	return b.Store.Machines(ctx, q)
}

// TestKnownMachineRegistersFromTheCopy registers a machine again, without reading it
// from the store; and reads it where the copy is not what the store has.
func TestKnownMachineRegistersFromTheCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := registrytest.Memory()
		store := &blinded{Store: memory}
		h := startHost(t, store, journal.Config{})
		synctest.Wait() // until the copy is complete
		first, _, err := h.Register(t.Context(), named(1, "one"))
		if err != nil {
			t.Fatal(err)
		}
		store.now.Store(true)
		again, created, err := h.Register(t.Context(), named(1, "two"))
		if err != nil || created || again.ID != first.ID || again.Hostname != "two" || again.Version != first.Version+1 {
			t.Fatalf("%+v, new %v, %v", again, created, err)
		}
		store.now.Store(false)
		other := again // another server writes it, and nobody here has heard of that
		other.Owner = "ana"
		if err := memory.Commit(t.Context(), registry.Change{Op: "other", Put: []registry.Machine{other}}); err != nil {
			t.Fatal(err)
		}
		last, created, err := h.Register(t.Context(), named(1, "three"))
		if err != nil || created || last.Owner != "ana" || last.Hostname != "three" || last.Version != again.Version+2 {
			t.Errorf("%+v, new %v, %v", last, created, err)
		}
		h.stop()
	})
}

// numbered is the registration of the n-th of thousands of machines.
func numbered(n int) registry.Registration {
	reg := registration(0, "", fmt.Sprintf("SN-%d", n))
	reg.MAC = registry.MAC{0x52, 0x54, 1, byte(n >> 16), byte(n >> 8), byte(n)}
	reg.MACs = []registry.MAC{reg.MAC}
	return reg
}

// What is behind a part of the journal that cannot be read is applied before the
// outage ends.
func TestReplayGoesOnBehindDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSwitched()
		h := startHost(t, store, journal.Config{SegmentBytes: 1 << 10})
		store.off.Store(true)
		time.Sleep(2 * time.Second)
		for n := range 20 {
			mustRegister(t, h.Registry, numbered(n))
		}
		parts, err := filepath.Glob(filepath.Join(h.dir, "journal", "*.seg"))
		if err != nil || len(parts) < 3 {
			t.Fatalf("parts of the journal: %v, %v", parts, err)
		}
		if err := os.WriteFile(parts[0], nil, 0o600); err != nil {
			t.Fatal(err)
		}
		store.off.Store(false)
		h.settled(t)
		if _, found := h.Lookup(numbered(19).MAC); !found {
			t.Error("the last machine of the journal is gone")
		}
	})
}
