// Package lastknown keeps on this host's disk what the database said last, so that
// a server can answer boots and show its machines while the database is away, also
// after a restart.
//
// It is a copy, and nothing in it is only there: a damaged file is set aside and
// made anew. Machines are in three buckets of one file, by ID: whole, as lists show
// them ([registry.Hardware.Brief]), and as the index needs them
// ([registry.Machine.Bare]). So a start reads a hundred bytes of each, and none of
// it stays in memory. What changes gathers there and is saved together, with the
// number of the event up to which it is complete.
package lastknown

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"dragonfly/registry"
)

// Copy is a [registry.Copy] in a file. It is safe for concurrent use.
type Copy struct {
	db   *bolt.DB
	file string
	codec

	mu      sync.Mutex
	pending map[string]*registry.Machine // kept and not saved yet; nil: gone
	mark    registry.Mark
}

var _ registry.Copy = (*Copy)(nil)

var (
	wholeBucket    = []byte("machines")
	briefBucket    = []byte("brief")
	bareBucket     = []byte("bare")
	machineBuckets = [][]byte{wholeBucket, briefBucket, bareBucket}
	documentBucket = []byte("documents")
	metaBucket     = []byte("meta")
	markKey        = []byte("mark " + format)
)

// format is of the records of machines. A file without a mark of this format counts
// as one that was never complete.
const format = "2"

// Open opens the copy in file, or starts an empty one. A file that is damaged is
// set aside; one that another process has open is an error.
func Open(file string, log *slog.Logger) (*Copy, error) {
	c, err := open(file)
	if err == nil || errors.Is(err, berrors.ErrTimeout) || errors.Is(err, os.ErrPermission) {
		return c, err
	}
	log.Error("the last known state is damaged; it is set aside and made anew", "file", file, "err", err)
	if err := os.Rename(file, file+".damaged"); err != nil {
		return nil, fmt.Errorf("set the damaged last known state aside: %w", err)
	}
	return open(file)
}

// open fails with an error, and never a panic, for a file that is damaged.
func open(file string) (c *Copy, err error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	c = &Copy{file: file, codec: codec, pending: map[string]*registry.Machine{}}
	err = guard(func() (err error) {
		if c.db, err = bolt.Open(file, 0o600, &bolt.Options{Timeout: time.Second}); err != nil {
			return err
		}
		return c.db.Update(c.prepare)
	})
	if err == nil {
		return c, nil
	}
	err = fmt.Errorf("open last known state %s: %w", file, err)
	if c.db != nil {
		err = errors.Join(err, guard(c.db.Close))
	}
	return nil, err
}

// guard turns what bbolt does with a file that is not what it should be into an
// error: it panics at a page that is none, and faults where the file that it maps
// was cut short.
func guard(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if damage := recover(); damage != nil {
			err = fmt.Errorf("the file is damaged: %v", damage)
		}
	}()
	return read()
}

// prepare makes what is missing, reads the mark, and looks at every bare record:
// much of what can be damaged shows there.
func (c *Copy) prepare(tx *bolt.Tx) error {
	if stat, err := os.Stat(c.file); err != nil || stat.Size() < tx.Size() {
		return errors.Join(err, errors.New("the file was cut short"))
	}
	for _, name := range slices.Concat(machineBuckets, [][]byte{documentBucket, metaBucket}) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	text := tx.Bucket(metaBucket).Get(markKey)
	if text == nil {
		return forget(tx)
	}
	if err := json.Unmarshal(text, &c.mark); err != nil {
		return err
	}
	return tx.Bucket(bareBucket).ForEach(func(id, data []byte) error {
		if len(data) < versionSize {
			return fmt.Errorf("machine %q: %d bytes", id, len(data))
		}
		return nil
	})
}

// Close lets go of the file. What was not saved is lost, and read again from the
// database at the next start.
func (c *Copy) Close() error { return c.db.Close() }

// Mark is [registry.Copy.Mark].
func (c *Copy) Mark() registry.Mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mark
}

// Keep is [registry.Copy.Keep].
func (c *Copy) Keep(put []registry.Machine, gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.view(func(tx *bolt.Tx) error { // what cannot be read counts as older
		for _, m := range put {
			if m.Version >= c.version(tx, m.ID) {
				c.pending[m.ID] = &m
			}
		}
		return nil
	})
	for _, id := range gone {
		c.pending[id] = nil
	}
}

// version is that of the machine as it is known; 0 where it is not.
func (c *Copy) version(tx *bolt.Tx, id string) int64 {
	if pending, ok := c.pending[id]; ok {
		if pending == nil {
			return 0
		}
		return pending.Version
	}
	return versionOf(tx.Bucket(bareBucket).Get([]byte(id)))
}

// Save is [registry.Copy.Save]. Where nothing has changed it writes nothing, for
// up to a minute.
func (c *Copy) Save(mark registry.Mark) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 && mark.Seq == c.mark.Seq && mark.At.Sub(c.mark.At).Abs() < time.Minute {
		c.mark = mark
		return nil
	}
	err := c.update(func(tx *bolt.Tx) error {
		for id, m := range c.pending {
			if err := c.store(tx, id, m); err != nil {
				return err
			}
		}
		return put(tx.Bucket(metaBucket), markKey, nil, mark)
	})
	if err != nil {
		return fmt.Errorf("save last known state %s: %w", c.file, err)
	}
	c.mark = mark
	clear(c.pending)
	return nil
}

// Clear is [registry.Copy.Clear]. Documents stay.
func (c *Copy) Clear() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.update(forget); err != nil {
		return fmt.Errorf("clear last known state %s: %w", c.file, err)
	}
	clear(c.pending)
	c.mark = registry.Mark{}
	return nil
}

// forget removes every machine, and the mark.
func forget(tx *bolt.Tx) error {
	for _, name := range machineBuckets {
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Delete(markKey)
}

func (c *Copy) view(read func(*bolt.Tx) error) error {
	return guard(func() error { return c.db.View(read) })
}

func (c *Copy) update(write func(*bolt.Tx) error) error {
	return guard(func() error { return c.db.Update(write) })
}

// Machines is [registry.Copy.Machines].
func (c *Copy) Machines(ctx context.Context, q registry.Query) (found []registry.Machine, err error) {
	if err := errors.Join(ctx.Err(), q.Check()); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.view(func(tx *bolt.Tx) error {
		if len(q.IDs) > 0 {
			found, err = c.byID(tx, q)
		} else {
			found, err = c.scan(ctx, tx, q)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read last known state %s: %w", c.file, err)
	}
	slices.SortFunc(found, func(a, b registry.Machine) int { return q.Sort.Compare(q.Sort.Position(a), q.Sort.Position(b)) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found, nil
}

func (c *Copy) byID(tx *bolt.Tx, q registry.Query) (found []registry.Machine, err error) {
	for _, id := range q.IDs {
		if pending, ok := c.pending[id]; ok {
			if pending != nil {
				found = append(found, *pending)
			}
			continue
		}
		if data := tx.Bucket(wholeBucket).Get([]byte(id)); data != nil {
			m, err := c.unpack(data)
			if err != nil {
				return nil, err
			}
			found = append(found, m)
		}
	}
	return found, nil
}

// scan looks at every machine.
func (c *Copy) scan(ctx context.Context, tx *bolt.Tx, q registry.Query) (found []registry.Machine, err error) {
	for _, pending := range c.pending {
		if pending != nil && q.Match(*pending) {
			found = append(found, shape(*pending, q))
		}
	}
	bucket, read := tx.Bucket(wholeBucket), c.unpack
	switch {
	case q.Bare && len(q.Filter) == 0:
		bucket, read = tx.Bucket(bareBucket), readBare
	case q.Brief || q.Bare:
		bucket, read = tx.Bucket(briefBucket), readBrief
	}
	err = bucket.ForEach(func(id, data []byte) error {
		if _, newer := c.pending[string(id)]; newer {
			return ctx.Err()
		}
		m, err := read(data)
		if err == nil && q.Match(m) {
			found = append(found, shape(m, q))
		}
		return errors.Join(err, ctx.Err())
	})
	return found, err
}

// Document returns what was kept under name; nil when nothing was.
func (c *Copy) Document(name string) (data []byte) {
	_ = c.view(func(tx *bolt.Tx) error { // it fails for a closed or a damaged file, which has nothing
		data = slices.Clone(tx.Bucket(documentBucket).Get([]byte(name)))
		return nil
	})
	return data
}

// KeepDocument keeps data under name, and returns when it is on disk.
func (c *Copy) KeepDocument(name string, data []byte) error {
	if slices.Equal(c.Document(name), data) && data != nil {
		return nil
	}
	err := c.update(func(tx *bolt.Tx) error { return tx.Bucket(documentBucket).Put([]byte(name), data) })
	if err != nil {
		return fmt.Errorf("keep %s in the last known state: %w", cmp.Or(name, "a document"), err)
	}
	return nil
}
