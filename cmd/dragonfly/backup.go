package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/backup"
	"dragonfly/registry/rqlite/node"
	"dragonfly/ui"
)

// backups takes copies of what the appliance knows: one at a time.
type backups struct {
	a    *appliance
	busy sync.Mutex
	last atomic.Pointer[registry.Backups] // as it was read last
}

var _ api.BackupKeeper = (*backups)(nil)

// copyPattern is what copies of the database are called in the data directory while
// they are sent. A crash leaves one behind.
const copyPattern = "backup-*.tmp"

// dropCopies removes what a crash left behind.
func dropCopies(dataDir string) {
	left, _ := filepath.Glob(filepath.Join(dataDir, copyPattern))
	for _, path := range left {
		_ = os.Remove(path) // it is only in the way
	}
}

// Write is [api.BackupKeeper.Write].
func (b *backups) Write(ctx context.Context, w io.Writer) error {
	if !b.busy.TryLock() {
		return &registry.RefusalError{Why: "another backup is being taken; try again when that is done"}
	}
	defer b.busy.Unlock()
	if err := b.complete(); err != nil {
		return err
	}
	database, err := os.CreateTemp(b.a.cfg.DataDir, copyPattern)
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	defer func() { _ = errors.Join(database.Close(), os.Remove(database.Name())) }()
	taken := registry.Backup{At: time.Now().UTC().Truncate(time.Millisecond), By: registry.ActorOf(ctx).Name, Version: version()}
	if err := b.a.store.Copy(ctx, database); err != nil {
		return err
	}
	return b.send(ctx, w, database, taken)
}

// complete errs while something that was acknowledged is not in the database yet.
func (b *backups) complete() error {
	if o := b.a.registry.Outage(); !o.Since.IsZero() {
		return fmt.Errorf("take a backup: %w (%s)", registry.ErrUnavailable, o.Cause)
	}
	if n := b.a.standby.journal.Stats().Records; n > 0 {
		return fmt.Errorf("take a backup: %w (%s for it in the journal)", registry.ErrUnavailable, registry.Counted(n, "record")+" wait")
	}
	return nil
}

// send checks the copy of the database and sends it with what belongs to it.
func (b *backups) send(ctx context.Context, w io.Writer, database *os.File, taken registry.Backup) error {
	holds, err := node.Inspect(ctx, database.Name())
	if err != nil {
		return fmt.Errorf("take a backup: %w", err)
	}
	if _, err := database.Seek(0, io.SeekStart); err != nil {
		return err
	}
	key, err := os.Open(filepath.Join(b.a.cfg.DataDir, sealingKeyFile))
	if err != nil {
		return fmt.Errorf("take a backup: %w", err)
	}
	defer key.Close()
	taken.Machines = holds.Machines
	b.a.registry.Note(ctx, "backup.take", objectOf(taken), map[string]any{"machines": taken.Machines, "version": taken.Version})
	sum, size := sha256.New(), new(counter)
	m := backup.Manifest{Version: taken.Version, At: taken.At, Schema: holds.Schema, Machines: holds.Machines}
	err = backup.Write(io.MultiWriter(w, sum, size), m, backup.Source{Name: backup.Database, From: database}, backup.Source{Name: backup.SealingKey, From: key})
	if err != nil {
		return fmt.Errorf("take a backup: %w", err)
	}
	taken.SHA256, taken.Bytes = hex.EncodeToString(sum.Sum(nil)), int64(*size)
	return b.put(ctx, func(all *registry.Backups) { all.Taken = taken })
}

// objectOf names a backup in the audit log.
func objectOf(b registry.Backup) string { return "backup/" + b.At.Format(time.RFC3339) }

// counter counts what is written to it.
type counter int64

// Write is [io.Writer.Write].
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// put changes what is known of the last backups.
func (b *backups) put(ctx context.Context, change func(*registry.Backups)) error {
	all, err := b.Last(ctx)
	if err != nil {
		return err
	}
	change(&all)
	if err := b.a.store.PutBackups(ctx, all); err != nil {
		return err
	}
	b.last.Store(&all)
	return nil
}

// Last is [api.BackupKeeper.Last].
func (b *backups) Last(ctx context.Context) (registry.Backups, error) {
	all, err := b.a.store.Backups(ctx)
	if err == nil {
		b.last.Store(&all)
	}
	return all, err
}

// ReadBack is [api.BackupKeeper.ReadBack].
func (b *backups) ReadBack(ctx context.Context, sha256 string) (good registry.Backup, err error) {
	err = b.put(ctx, func(all *registry.Backups) {
		if good = all.Taken; good.SHA256 == sha256 {
			good.ReadAt = time.Now().UTC().Truncate(time.Millisecond)
			all.Good = good
		}
	})
	if err == nil && good.SHA256 != sha256 {
		err = &registry.RefusalError{Why: "this is not the backup that was handed out last: it has another SHA-256"}
	}
	if err == nil {
		b.a.registry.Note(ctx, "backup.read_back", objectOf(good), map[string]any{"sha256": good.SHA256, "bytes": good.Bytes})
	}
	return good, err
}

// known is Last for those who do not wait for it: what was read last, where the
// database is away.
func (b *backups) known(ctx context.Context) registry.Backups {
	ctx, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	if b.a.registry.Outage().Since.IsZero() {
		if all, err := b.Last(ctx); err == nil {
			return all
		}
	}
	if all := b.last.Load(); all != nil {
		return *all
	}
	return registry.Backups{}
}

// backupOld is when the page of the health says that there should be another.
const backupOld = 8 * 24 * time.Hour

func (a *appliance) backupCheck(ctx context.Context) ui.Check {
	last := a.backups.known(ctx)
	c := ui.Check{Title: "Last backup", Good: true, Facts: [][2]string{}}
	switch {
	case last.Good.At.IsZero():
		c.Off, c.Word = true, "none was taken yet: dragonfly backup takes one"
	case time.Since(last.Good.At) > backupOld:
		c.Good, c.Word = false, "older than "+registry.Counted(int(time.Since(last.Good.At).Hours()/24), "day")+": dragonfly backup takes one"
	default:
		c.Word = moment(last.Good.At) + ", read back"
	}
	if !last.Good.At.IsZero() {
		c = with(with(c, "Taken by", last.Good.By+", "+moment(last.Good.At)), "Holds", registry.Counted(last.Good.Machines, "machine")+", "+size(last.Good.Bytes))
	}
	if last.Taken.At.After(last.Good.At) {
		c = with(c, "Handed out, not read back", moment(last.Taken.At)+", to "+last.Taken.By)
	}
	return c
}

// metric is when the last good backup was taken.
func (b *backups) metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_last_backup_timestamp_seconds",
		Help: "When the last backup was taken that was read back, in seconds since 1970; 0 before any."}, func() float64 {
		if at := b.known(context.Background()).Good.At; !at.IsZero() {
			return float64(at.UnixMilli()) / 1000
		}
		return 0
	})
}

// backupName is what a backup is called that was not given a name. Names sort by time.
func backupName(at time.Time) string {
	host, _, _ := strings.Cut(hostName(), ".")
	return "dragonfly-" + host + "-" + at.UTC().Format("20060102T150405Z") + ".tar.zst"
}
