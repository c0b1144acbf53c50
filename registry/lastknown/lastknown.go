// Package lastknown keeps on this host's disk what the database said last, so that
// a server can answer boots and show its machines while the database is away, also
// after a restart.
//
// It is a copy, and nothing in it is only there: a damaged file is set aside and
// made anew. Machines are in three buckets of one file, by ID: as lists show them
// ([registry.Hardware.Brief]), their whole hardware, and as the index needs them
// ([registry.Machine.Bare]). So a start reads a hundred bytes of each, and none of
// it stays in memory. What changes gathers there and is saved together, with the
// number of the event up to which it is complete.
package lastknown

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// Copy is a [registry.Copy] in a file. It is safe for concurrent use. Nothing but
// Save and Clear waits for the disk to have written something.
type Copy struct {
	db   *bolt.DB
	file string

	writing sync.Mutex // held while machines are written to the file
	mu      sync.Mutex // held for moments, but by Clear
	news    news
	mark    registry.Mark
}

// news is what the file does not have yet: machines by ID; nil: gone.
type news struct {
	pending map[string]*record // kept since the last Save began
	saving  map[string]*record // what a Save writes now
}

// find returns what is known of a machine beside the file.
func (n news) find(id string) (m *record, known bool) {
	if m, known = n.pending[id]; !known {
		m, known = n.saving[id]
	}
	return m, known
}

// all is everything that is known beside the file.
func (n news) all() map[string]*record {
	all := make(map[string]*record, len(n.pending)+len(n.saving))
	maps.Copy(all, n.saving)
	maps.Copy(all, n.pending)
	return all
}

// of is what is known of some machines.
func (n news) of(ids []string) map[string]*record {
	some := map[string]*record{}
	for _, id := range ids {
		if m, known := n.find(id); known {
			some[id] = m
		}
	}
	return some
}

var _ registry.Copy = (*Copy)(nil)

var (
	hardwareBucket = []byte("hardware")
	briefBucket    = []byte("brief")
	bareBucket     = []byte("bare")
	machineBuckets = [][]byte{hardwareBucket, briefBucket, bareBucket}
	documentBucket = []byte("documents")
	metaBucket     = []byte("meta")
	markKey        = []byte("mark " + format)
)

// format is of the records of machines. A file without a mark of this format counts
// as one that was never complete.
const format = "4"

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
	c = &Copy{file: file, news: news{pending: map[string]*record{}}}
	err = guard(func() (err error) {
		if c.db, err = bolt.Open(file, 0o600, &bolt.Options{Timeout: time.Second, InitialMmapSize: mapped}); err != nil {
			return err
		}
		return c.db.Update(c.prepare)
	})
	if err == nil {
		c.release()
		return c, nil
	}
	err = fmt.Errorf("open last known state %s: %w", file, err)
	if c.db != nil {
		err = errors.Join(err, guard(c.db.Close))
	}
	return nil, err
}

// mapped is how many bytes of address space are set aside for the file: mapping it
// anew, as it grows, would wait for whoever reads it.
const mapped = 1 << 30

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
	return each(tx.Bucket(bareBucket), func(id, data []byte) error {
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
	records := make([]*record, 0, len(put))
	for _, m := range put {
		records = append(records, newRecord(m))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.view(func(tx *bolt.Tx) error { // what cannot be read counts as older
		for _, r := range records {
			if r.short.Version >= c.version(tx, r.short.ID) {
				c.news.pending[r.short.ID] = r
			}
		}
		return nil
	})
	for _, id := range gone {
		c.news.pending[id] = nil
	}
}

// version is that of the machine as it is known; 0 where it is not.
func (c *Copy) version(tx *bolt.Tx, id string) int64 {
	if m, known := c.news.find(id); known {
		if m == nil {
			return 0
		}
		return m.short.Version
	}
	return versionOf(tx.Bucket(bareBucket).Get([]byte(id)))
}

// Save is [registry.Copy.Save]. Where nothing has changed it writes nothing, for
// up to a minute.
func (c *Copy) Save(mark registry.Mark) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	saving, idle := c.begin(mark)
	if idle {
		return nil
	}
	err := c.update(func(tx *bolt.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(saving)) { // which touches each page once
			if err := store(tx, id, saving[id]); err != nil {
				return err
			}
		}
		return put(tx.Bucket(metaBucket), markKey, nil, mark)
	})
	c.end(mark, err)
	if err != nil {
		return fmt.Errorf("save last known state %s: %w", c.file, err)
	}
	return nil
}

// begin takes what is to be saved; idle: it is not worth it.
func (c *Copy) begin(mark registry.Mark) (saving map[string]*record, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.news.pending) == 0 && mark.Seq == c.mark.Seq && mark.At.Sub(c.mark.At).Abs() < time.Minute {
		c.mark = mark
		return nil, true
	}
	c.news = news{pending: map[string]*record{}, saving: c.news.pending}
	return c.news.saving, false
}

// end notes that the file has what was saved, or takes it back where that failed.
func (c *Copy) end(mark registry.Mark, failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if failed != nil {
		c.news = news{pending: c.news.all()}
		return
	}
	c.news.saving, c.mark = nil, mark
}

// Clear is [registry.Copy.Clear]. Documents stay. What is kept meanwhile waits, since
// it must not be compared with what goes.
func (c *Copy) Clear() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.update(forget); err != nil {
		return fmt.Errorf("clear last known state %s: %w", c.file, err)
	}
	clear(c.news.pending)
	c.mark = registry.Mark{}
	return nil
}

// forget removes every machine, also of an earlier format, and the mark.
func forget(tx *bolt.Tx) error {
	var old [][]byte
	err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		if !bytes.Equal(name, documentBucket) && !bytes.Equal(name, metaBucket) {
			old = append(old, bytes.Clone(name))
		}
		return nil
	})
	for _, name := range old {
		err = errors.Join(err, tx.DeleteBucket(name))
	}
	for _, name := range machineBuckets {
		_, made := tx.CreateBucket(name)
		err = errors.Join(err, made)
	}
	return errors.Join(err, tx.Bucket(metaBucket).Delete(markKey))
}

func (c *Copy) view(read func(*bolt.Tx) error) error {
	return guard(func() error { return c.db.View(read) })
}

func (c *Copy) update(write func(*bolt.Tx) error) error {
	err := guard(func() error { return c.db.Update(write) })
	c.release()
	return err
}

func (c *Copy) release() {
	_ = c.view(func(tx *bolt.Tx) error { release(tx); return nil }) // nothing depends on it
}

// release gives back the memory of what was looked at. The file is mapped whole, and
// each of its pages counts as this process's memory from then on, until the kernel is
// short of it. They stay in the kernel's cache. While tx is open, the file stays mapped
// where it is.
func release(tx *bolt.Tx) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
}

// releaseEvery is how many machines are looked at until that is worth it: their
// records are 1 MB, and what the kernel maps around them ten times that.
const releaseEvery = 1000

// each calls look with every record of a bucket.
func each(bucket *bolt.Bucket, look func(id, data []byte) error) error {
	seen := 0
	return bucket.ForEach(func(id, data []byte) error {
		if seen++; seen%releaseEvery == 0 {
			release(bucket.Tx())
		}
		return look(id, data)
	})
}

// Machines is [registry.Copy.Machines].
func (c *Copy) Machines(ctx context.Context, q registry.Query) (found []registry.Machine, err error) {
	if err := errors.Join(ctx.Err(), q.Check()); err != nil {
		return nil, err
	}
	tx, news, err := c.now(q.IDs)
	if err != nil {
		return nil, err
	}
	err = guard(func() error {
		if len(q.IDs) > 0 {
			found, err = byID(tx, news, q)
		} else {
			found, err = c.scan(ctx, tx, news, q)
		}
		return err
	})
	err = errors.Join(err, tx.Rollback())
	if err != nil {
		return nil, fmt.Errorf("read last known state %s: %w", c.file, err)
	}
	if len(q.IDs) == 0 {
		c.release()
	}
	slices.SortFunc(found, func(a, b registry.Machine) int { return q.Sort.Compare(q.Sort.Position(a), q.Sort.Position(b)) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found, nil
}

// now is what the file has, and what is known beside it, at one moment: of some
// machines, or of all where ids is empty. The caller ends the transaction.
func (c *Copy) now(ids []string) (*bolt.Tx, map[string]*record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tx, err := c.db.Begin(false)
	if err != nil {
		return nil, nil, fmt.Errorf("read last known state %s: %w", c.file, err)
	}
	if len(ids) > 0 {
		return tx, c.news.of(ids), nil
	}
	return tx, c.news.all(), nil
}

func byID(tx *bolt.Tx, news map[string]*record, q registry.Query) (found []registry.Machine, err error) {
	for _, id := range q.IDs {
		var m registry.Machine
		var there bool
		var err error
		if newer, known := news[id]; known {
			m, there, err = newer.whole()
		} else {
			m, there, err = read(tx, []byte(id))
		}
		if err != nil {
			return nil, err
		}
		if there {
			found = append(found, m)
		}
	}
	return found, nil
}

// scan looks at every machine.
func (c *Copy) scan(ctx context.Context, tx *bolt.Tx, news map[string]*record, q registry.Query) (found []registry.Machine, err error) {
	for _, newer := range news {
		if newer == nil || !q.Match(newer.short) {
			continue
		}
		m, _, err := newer.whole()
		if err != nil {
			return nil, err
		}
		found = append(found, shape(m, q))
	}
	bucket, read := tx.Bucket(briefBucket), readBrief
	if q.Bare && len(q.Filter) == 0 {
		bucket, read = tx.Bucket(bareBucket), readBare
	}
	hardware := tx.Bucket(hardwareBucket)
	err = each(bucket, func(id, data []byte) error {
		if _, newer := news[string(id)]; newer {
			return ctx.Err()
		}
		m, err := read(data)
		if err == nil && !q.Brief && !q.Bare {
			m.Hardware, err = packed.Unpack(hardware.Get(id))
		}
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
