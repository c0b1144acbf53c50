package raftboltdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	old "github.com/hashicorp/raft-boltdb/v2"
	"golang.org/x/sys/unix"
)

func mustOpen(t *testing.T, path string) *BoltStore {
	t.Helper()
	b, err := New(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// entries are those numbered first to last, each with so many bytes.
func entries(first, last uint64, size int) (all []*raft.Log) {
	for i := first; i <= last; i++ {
		data := bytes.Repeat([]byte{byte(i)}, size)
		all = append(all, &raft.Log{Index: i, Term: 3, Type: raft.LogCommand, Data: data, Extensions: []byte{}})
	}
	return all
}

// has fails unless the log has exactly what is wanted.
func (b *BoltStore) has(t *testing.T, want []*raft.Log) {
	t.Helper()
	first, errFirst := b.FirstIndex()
	last, errLast := b.LastIndex()
	if errFirst != nil || errLast != nil {
		t.Fatal(errFirst, errLast)
	}
	if len(want) == 0 {
		if first != 0 || last != 0 {
			t.Errorf("it has the entries %d to %d, and should have none", first, last)
		}
		return
	}
	if first != want[0].Index || last != want[len(want)-1].Index {
		t.Fatalf("it has the entries %d to %d, want %d to %d", first, last, want[0].Index, want[len(want)-1].Index)
	}
	for _, w := range want {
		var e raft.Log
		if err := b.GetLog(w.Index, &e); err != nil || e.Index != w.Index || e.Term != w.Term || e.Type != w.Type || !bytes.Equal(e.Data, w.Data) {
			t.Fatalf("entry %d: index %d, term %d, %s, %d bytes, %v", w.Index, e.Index, e.Term, e.Type, len(e.Data), err)
		}
	}
	if err := b.GetLog(last+1, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
}

func TestLogIsThereWhenItIsOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	b := mustOpen(t, path)
	b.has(t, nil)
	all := entries(7, 30, 1<<20) // more than a file takes
	for _, e := range all {
		if err := b.StoreLog(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.SetUint64([]byte("CurrentTerm"), 3), b.Set([]byte("LastVoteCand"), []byte("me"))); err != nil {
		t.Fatal(err)
	}
	b.has(t, all)
	for _, c := range []struct {
		first, last uint64
		want        []*raft.Log
	}{{1, 9, all[3:]}, {26, 40, all[3:19]}, {0, 100, nil}} {
		if err := b.DeleteRange(c.first, c.last); err != nil {
			t.Fatal(err)
		}
		b.has(t, c.want)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = mustOpen(t, path)
		b.has(t, c.want)
	}
	if err := b.StoreLogs(entries(1000, 1001, 1)); err != nil { // behind a snapshot of somebody else's
		t.Fatal(err)
	}
	b.has(t, entries(1000, 1001, 1))
	term, errTerm := b.GetUint64([]byte("CurrentTerm"))
	vote, errVote := b.Get([]byte("LastVoteCand"))
	nothing, errNothing := b.GetUint64([]byte("nothing"))
	if term != 3 || string(vote) != "me" || nothing != 0 || errTerm != nil || errVote != nil || errNothing != nil {
		t.Errorf("term %d, vote %q, nothing %d; %v, %v, %v", term, vote, nothing, errTerm, errVote, errNothing)
	}
}

func TestEntryThatCouldNotBeReadIsRefused(t *testing.T) {
	b := mustOpen(t, filepath.Join(t.TempDir(), "raft.db"))
	if err := b.StoreLogs(entries(1, 1, maxEntry+1)); err == nil {
		t.Error("it was stored")
	}
	b.has(t, nil)
	if err := b.StoreLogs(entries(1, 1, maxEntry)); err != nil {
		t.Fatal(err)
	}
	b.has(t, entries(1, 1, maxEntry))
}

// A full disk is an error, loses nothing, and is over when there is room again.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=80m"); err != nil {
		t.Skipf("a file system can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	b := mustOpen(t, filepath.Join(disk, "raft.db"))
	t.Cleanup(func() { b.Close() }) // before the disk is unmounted
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var stored []*raft.Log
	var err error
	for next := uint64(1); err == nil && next < 200; next++ {
		e := entries(next, next, 1<<20)
		if err = b.StoreLogs(e); err == nil {
			stored = append(stored, e...)
		}
	}
	if !errors.Is(err, unix.ENOSPC) || len(stored) < 20 {
		t.Fatalf("%d entries were stored, and then: %v", len(stored), err)
	}
	next := stored[len(stored)-1].Index + 1
	if err := b.StoreLogs(entries(next, next, 1)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the disk is full, and the next entry: %v", err)
	}
	b.has(t, stored)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	after := entries(next, next+20, 1<<20)
	if err := b.StoreLogs(after); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	b.has(t, append(stored, after...))
}

// kept is what rqlite's package kept at path.
func kept(t *testing.T, path string, all []*raft.Log) {
	t.Helper()
	s, err := old.NewBoltStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > 0 {
		err = errors.Join(s.StoreLogs(all), s.SetUint64([]byte("CurrentTerm"), 9), s.SetUint64([]byte("LastVoteTerm"), 8), s.Set([]byte("LastVoteCand"), []byte("you")))
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// takenOver fails unless b has what [kept] has made, and nothing else is left.
func takenOver(t *testing.T, path string, all []*raft.Log) {
	t.Helper()
	b := mustOpen(t, path)
	b.has(t, all)
	term, _ := b.GetUint64([]byte("CurrentTerm"))
	voted, _ := b.GetUint64([]byte("LastVoteTerm"))
	vote, _ := b.Get([]byte("LastVoteCand"))
	if got := fmt.Sprintf("%d %d %s", term, voted, vote); len(all) > 0 && got != "9 8 you" {
		t.Errorf("term and vote are %s", got)
	}
	if there, _ := filepath.Glob(path + "*"); len(there) != 1 {
		t.Errorf("there is %q", there)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTakesOver(t *testing.T) {
	for name, all := range map[string][]*raft.Log{"nothing": nil, "few": entries(1, 3, 10), "many": entries(5000, 5040, 1<<20)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			kept(t, path, all)
			takenOver(t, path, all)
			takenOver(t, path, all)
		})
	}
}

// TestTakesOverAfterACrash stops after each step of [takeOver].
func TestTakesOverAfterACrash(t *testing.T) {
	all := entries(1, 3, 10)
	for name, until := range map[string]func(path string) error{
		"half copied": func(path string) error { return os.Mkdir(path+".new", 0o700) },
		"copied":      func(path string) error { return copyAll(path+".new", path) },
		"moved away":  func(path string) error { return errors.Join(copyAll(path+".new", path), rename(path, path+".old")) },
		"moved to its": func(path string) error {
			return errors.Join(copyAll(path+".new", path), rename(path, path+".old"), rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			kept(t, path, all)
			if err := until(path); err != nil {
				t.Fatal(err)
			}
			takenOver(t, path, all)
		})
	}
}

// What cannot be read stays as it is.
func TestDoesNotTakeOverWhatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	damaged := []byte("no log at all")
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Path: path}); err == nil {
		t.Error("it was opened")
	}
	if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, damaged) {
		t.Errorf("it is %q now, %v", data, err)
	}
}
