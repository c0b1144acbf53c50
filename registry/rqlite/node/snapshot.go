package node

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/rqlite/rqlite/v8/store"
)

// A snapshot stops every write while rqlite reads the whole of SQLite's log: some
// 1 ms per MiB. So it waits for a lull, in which nobody notices, and no longer than the
// log is bounded: what is in it a start has to carry out again that was killed. Where no
// lull comes, snapshots are made often, so that none of them stops writes for long.
const (
	snapshotFrom  = 4 << 20          // bytes of SQLite's log that are worth a snapshot
	snapshotOften = 32 << 20         // bytes that are worth one in any lull, or where there was none for stormsEnd
	snapshotAt    = 256 << 20        // bytes that are not waited with
	stormsEnd     = 5 * time.Second  // longer than all machines of a data centre take to register
	lull          = 512 << 10        // bytes by which the log grows in snapshotEvery when little is written
	snapshotEvery = time.Second / 4  // how often the log is looked at
	snapshotRest  = 10 * time.Second // after a snapshot, for lulls with less
)

// snapshots makes the node's snapshots until it is stopped.
func (n *Node) snapshots() {
	tick := time.NewTicker(snapshotEvery)
	defer tick.Stop()
	var before int64
	var last time.Time
	calm := time.Now()
	for {
		select {
		case <-n.stop:
			return
		case <-tick.C:
		}
		size, now := n.unsaved(), time.Now()
		if size-before < lull {
			calm = now
		}
		if snapshotDue(size, now.Sub(calm), now.Sub(last)) {
			n.snapshot()
			last, size = time.Now(), 0
		}
		before = size
	}
}

// snapshotDue reports whether a snapshot is due with a log of size bytes, so long after
// the last lull (0: this is one) and the last snapshot.
func snapshotDue(size int64, busy, since time.Duration) bool {
	switch {
	case size >= snapshotAt:
		return true
	case busy >= stormsEnd:
		return size >= snapshotOften
	default:
		return busy == 0 && (size >= snapshotOften || size >= snapshotFrom && since >= snapshotRest)
	}
}

// unsaved is how many bytes SQLite's log has: what no snapshot has yet.
func (n *Node) unsaved() int64 {
	wal, err := os.Stat(filepath.Join(n.store.Path(), "db.sqlite-wal"))
	if err != nil { // nothing was written, or the database is being built
		return 0
	}
	return wal.Size()
}

// snapshot makes a snapshot. Without it nothing is lost: it is all in raft's log.
func (n *Node) snapshot() {
	if err := n.store.Snapshot(0); err != nil && !errors.Is(err, store.ErrNothingNewToSnapshot) {
		n.log.Warn("snapshot of the database; the next start takes longer", "err", err)
	}
}
