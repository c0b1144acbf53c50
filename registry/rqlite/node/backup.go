package node

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"; rqlite brings it along
	"github.com/rqlite/rqlite/v8/command/proto"
	"github.com/rqlite/rqlite/v8/store"

	"dragonfly/registry"
)

// A copy is refused while a snapshot is made, which takes as long as the disk does.
const (
	copyAttempts = 50
	copyPause    = 100 * time.Millisecond
	forwardCopy  = 10 * time.Minute // for the leader to send all of it
)

// Copy writes the database to w as a SQLite file, as it is at one moment. Writes go on
// meanwhile, and nothing else is written until it is done, so w must not be slow. A
// member that does not lead has the leader send it.
func (n *Node) Copy(ctx context.Context, w io.Writer) error {
	if err := n.gate.enter(); err != nil {
		return err
	}
	defer n.gate.leave()
	out := &counted{to: w}
	for attempt := 1; ; attempt++ {
		err := n.copyOnce(out)
		if err == nil {
			return nil
		}
		if out.n > 0 || attempt == copyAttempts {
			return fmt.Errorf("copy the database: %w: %w", registry.ErrUnavailable, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("copy the database: %w: %w", context.Cause(ctx), err)
		case <-time.After(copyPause):
		}
	}
}

func (n *Node) copyOnce(w io.Writer) error {
	request := &proto.BackupRequest{Format: proto.BackupRequest_BACKUP_REQUEST_FORMAT_BINARY, Leader: true}
	err := n.store.Backup(request, w)
	if !errors.Is(err, store.ErrNotLeader) || n.member == nil {
		return err
	}
	leader, err := n.store.LeaderAddr()
	if err != nil || leader == "" {
		return errors.Join(store.ErrLeaderNotFound, err)
	}
	return n.member.forward.now.Load().Backup(request, leader, nil, forwardCopy, w)
}

// counted tells whether something was written: a copy can only be begun anew before.
type counted struct {
	to io.Writer
	n  int64
}

// Write is [io.Writer.Write].
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// Load makes r, a SQLite file, the database of a node that stands alone, in place of
// what it has.
func (n *Node) Load(r io.Reader) error {
	if n.member != nil {
		return errors.New("load the database: this host is a member of a cluster; load it on one that stands alone")
	}
	if err := n.gate.enter(); err != nil {
		return err
	}
	defer n.gate.leave()
	if _, err := n.store.ReadFrom(r); err != nil {
		return fmt.Errorf("load the database: %w", err)
	}
	return nil
}

// Contents is what a SQLite file of a Dragonfly holds.
type Contents struct {
	Schema   int // the last step of the schema that was made
	Machines int
}

// Inspect reads all of a SQLite file that nobody writes to, and errs where it is damaged
// or no Dragonfly's.
func Inspect(ctx context.Context, path string) (c Contents, err error) {
	// Immutable: nothing is made beside the file, though it says that it has a log.
	db, err := sql.Open("sqlite3", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "immutable=1&mode=ro"}).String())
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return c, fmt.Errorf("check the database: %w", err)
	}
	if !strings.EqualFold(found, "ok") {
		return c, fmt.Errorf("check the database: it is damaged: %.200s", found)
	}
	err = db.QueryRowContext(ctx, `SELECT (SELECT max(version) FROM schema_migrations), (SELECT count(*) FROM machines)`).Scan(&c.Schema, &c.Machines)
	if err != nil {
		return c, fmt.Errorf("check the database: it is not a Dragonfly's: %w", err)
	}
	return c, nil
}
