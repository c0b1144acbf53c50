// Package lastknown keeps on this host's disk what the database said last, so that
// a server can answer boots and show its machines while the database is away, also
// after a restart.
//
// It is a copy, and nothing in it is only there: a damaged file is set aside and
// made anew. Machines are in two buckets of one file, whole and as lists show them
// ([registry.Hardware.Brief]), by ID. What changes gathers in memory and is saved
// together, with the number of the event up to which it is complete.
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

	mu       sync.Mutex
	pending  map[string]*registry.Machine // kept and not saved yet; nil: gone
	versions map[string]int64
	mark     registry.Mark
}

var _ registry.Copy = (*Copy)(nil)

var (
	wholeBucket    = []byte("machines")
	briefBucket    = []byte("brief")
	documentBucket = []byte("documents")
	metaBucket     = []byte("meta")
	markKey        = []byte("mark")
	buckets        = [][]byte{wholeBucket, briefBucket, documentBucket, metaBucket}
)

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
	c = &Copy{file: file, pending: map[string]*registry.Machine{}, versions: map[string]int64{}}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // bbolt maps the file: one that was cut short faults
	defer func() {
		if damage := recover(); damage != nil { // bbolt panics where a page is not what it should be
			c, err = nil, fmt.Errorf("open last known state %s: %v", file, damage)
		}
	}()
	if c.db, err = bolt.Open(file, 0o600, &bolt.Options{Timeout: time.Second}); err != nil {
		return nil, fmt.Errorf("open last known state %s: %w", file, err)
	}
	err = c.db.Update(func(tx *bolt.Tx) error {
		if stat, err := os.Stat(file); err != nil || stat.Size() < tx.Size() {
			return errors.Join(err, errors.New("the file was cut short"))
		}
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if text := tx.Bucket(metaBucket).Get(markKey); text != nil {
			if err := json.Unmarshal(text, &c.mark); err != nil {
				return err
			}
		}
		return tx.Bucket(briefBucket).ForEach(func(_, text []byte) error {
			var m registry.Machine
			if err := json.Unmarshal(text, &m); err != nil {
				return err
			}
			c.versions[m.ID] = m.Version
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open last known state %s: %w", file, err), c.db.Close())
	}
	return c, nil
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
	for _, m := range put {
		if m.Version >= c.versions[m.ID] {
			c.versions[m.ID] = m.Version
			c.pending[m.ID] = &m
		}
	}
	for _, id := range gone {
		delete(c.versions, id)
		c.pending[id] = nil
	}
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
	err := c.db.Update(func(tx *bolt.Tx) error {
		for id, m := range c.pending {
			if err := save(tx, id, m); err != nil {
				return err
			}
		}
		text, err := json.Marshal(mark)
		return errors.Join(err, tx.Bucket(metaBucket).Put(markKey, text))
	})
	if err != nil {
		return fmt.Errorf("save last known state %s: %w", c.file, err)
	}
	c.mark = mark
	clear(c.pending)
	return nil
}

// save writes one machine; nil removes it.
func save(tx *bolt.Tx, id string, m *registry.Machine) error {
	whole, brief := tx.Bucket(wholeBucket), tx.Bucket(briefBucket)
	if m == nil {
		return errors.Join(whole.Delete([]byte(id)), brief.Delete([]byte(id)))
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	short := *m
	short.Hardware = m.Hardware.Brief()
	shortText, err := json.Marshal(short)
	return errors.Join(err, whole.Put([]byte(id), text), brief.Put([]byte(id), shortText))
}

// Clear is [registry.Copy.Clear]. Documents stay.
func (c *Copy) Clear() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{wholeBucket, briefBucket, metaBucket} {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clear last known state %s: %w", c.file, err)
	}
	clear(c.pending)
	clear(c.versions)
	c.mark = registry.Mark{}
	return nil
}

// Machines is [registry.Copy.Machines].
func (c *Copy) Machines(ctx context.Context, q registry.Query) (found []registry.Machine, err error) {
	if err := errors.Join(ctx.Err(), q.Check()); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.db.View(func(tx *bolt.Tx) error {
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
		if text := tx.Bucket(wholeBucket).Get([]byte(id)); text != nil {
			var m registry.Machine
			if err := json.Unmarshal(text, &m); err != nil {
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
		if pending == nil || !q.Match(*pending) {
			continue
		}
		m := *pending
		if q.Brief {
			m.Hardware = m.Hardware.Brief()
		}
		found = append(found, m)
	}
	bucket := tx.Bucket(wholeBucket)
	if q.Brief {
		bucket = tx.Bucket(briefBucket)
	}
	err = bucket.ForEach(func(id, text []byte) error {
		if _, newer := c.pending[string(id)]; newer {
			return ctx.Err()
		}
		var m registry.Machine
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		if q.Match(m) {
			found = append(found, m)
		}
		return ctx.Err()
	})
	return found, err
}

// Document returns what was kept under name; nil when nothing was.
func (c *Copy) Document(name string) (data []byte) {
	_ = c.db.View(func(tx *bolt.Tx) error { // it fails for a closed file only, which has nothing
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
	err := c.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(documentBucket).Put([]byte(name), data) })
	if err != nil {
		return fmt.Errorf("keep %s in the last known state: %w", cmp.Or(name, "a document"), err)
	}
	return nil
}
