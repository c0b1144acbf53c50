// Package rqlite keeps machines and events in rqlite, a SQLite database that is
// replicated by raft. It is the [registry.Store] of a running Dragonfly, and the
// storage of registry/auth.
//
// It speaks rqlite's HTTP API: to the node inside this process through an
// [http.Client] that calls it in memory (package node), or to a cluster elsewhere
// ([Remote]). The node inside this process is mostly asked without it ([Executor]);
// what is said is the same.
//
// Four habits keep it right:
//
//   - A write is one transactional request, and one that can be sent twice: a
//     request whose answer got lost is sent again, to the next node.
//     [Store.Commit] therefore starts by inserting the operation id. Where that
//     is refused as a duplicate the change was applied before.
//   - A lost race fails the transaction in the database, by a constraint, and
//     not by a read before the write: see [checkVersion].
//   - Text travels as JSON ([text]), because rqlite takes a parameter that looks
//     like x'4142' for a blob, and a machine may well call itself that.
//   - Errors are sorted once, in [sortError]: the database cannot be reached,
//     somebody else was faster, or it is our fault.
package rqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"dragonfly/registry"
)

// Config says which rqlite to use. [Remote] makes one for a cluster elsewhere,
// and [Embedded] for the node in this process.
type Config struct {
	URL  string       // of the HTTP API, such as http://host:4001; empty where HTTP knows the way
	HTTP *http.Client // carries every request; must not be nil
	Log  *slog.Logger // nil: silent

	// Direct takes statements without HTTP: the embedded node. It may be nil.
	Direct Executor

	// Copy writes the database as a SQLite file. nil: it is asked for at URL.
	Copy func(context.Context, io.Writer) error
}

// Store is a [registry.Store] over rqlite. It is safe for concurrent use.
type Store struct {
	db       *database
	batch    *batcher
	log      *slog.Logger
	copy     func(context.Context, io.Writer) error
	migrated atomic.Bool // the schema is up to date
	common   common      // terms of filters
}

var _ registry.Store = (*Store)(nil)

// Open connects, and brings the schema up to date. It fails when the schema is
// newer than this program. A database that cannot be reached within the patience
// of cfg.HTTP is [registry.ErrUnavailable], and there is a store beside that error:
// it works from the first [Store.Ping] on that succeeds.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	base := cmp.Or(cfg.URL, "http://embedded")
	db, err := connect(base, cfg.HTTP, cfg.Direct)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	log := cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	s := &Store{db: db, batch: &batcher{db: db, log: log}, log: log, copy: cfg.Copy}
	if s.copy == nil {
		s.copy = copyFrom(base, cfg.HTTP)
	}
	if err := s.prepare(ctx); err != nil && !errors.Is(err, registry.ErrUnavailable) {
		return nil, fmt.Errorf("open database: %w", err)
	} else if err != nil {
		return s, fmt.Errorf("open database: %w", err)
	}
	return s, nil
}

// prepare brings the schema up to date, once.
func (s *Store) prepare(ctx context.Context) error {
	if s.migrated.Load() {
		return nil
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.recount(ctx); err != nil {
		return err
	}
	s.migrated.Store(true)
	return nil
}

// Ping asks whether the database answers and has a leader now, and brings the
// schema up to date where that was not done yet.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	_, err := s.db.readLatest(ctx, statement{name: "ping", sql: `SELECT 1`})
	return err
}

// What [Store.Prune] keeps.
const (
	maxEvents        = 1_000_000
	maxMachineEvents = 10_000              // of one machine
	linesFor         = 90 * 24 * time.Hour // of a deployment that has ended
)

// Prune forgets the operations applied before the given time, which must lie
// further back than any retry of a write, requests with an idempotency key after two
// days, the logs of deployments that ended 90 days ago, and all but the newest 10,000
// events of each machine, and of those that are left all but the newest million.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	err := s.db.write(ctx,
		statement{name: "prune operations", sql: `DELETE FROM ops WHERE at_ms < ?1`, args: []any{millis(before)}},
		statement{name: "prune requests", sql: `DELETE FROM requests WHERE at_ms < ?1`, args: []any{millis(time.Now().Add(-requestsFor))}},
		statement{name: "prune lines of deployments", sql: `DELETE FROM deployment_lines WHERE deployment IN (
			SELECT id FROM deployments WHERE ended_ms > 0 AND ended_ms < ?1)`, args: []any{millis(time.Now().Add(-linesFor))}},
	)
	if err != nil {
		return err
	}
	return errors.Join(s.pruneEvents(ctx, maxMachineEvents, maxEvents), s.recount(ctx))
}

// pruneEvents keeps the newest events of each machine, and the newest of those that are
// left. One that registers with other hardware each time must not push the history of
// all others out. What goes is found by reading, which keeps no write waiting.
func (s *Store) pruneEvents(ctx context.Context, ofEach, ofAll int) error {
	cuts, err := scan(ctx, s, func(rows cursor) (statement, error) {
		var machine string
		var last int64
		err := rows.Scan(&machine, &last)
		return statement{name: "prune events of one machine", sql: `DELETE FROM events WHERE machine = ?1 AND seq <= ?2`, args: []any{machine, last}}, err
	}, statement{name: "find machines with many events", sql: `SELECT id, (SELECT seq FROM events WHERE machine = id ORDER BY seq DESC LIMIT 1 OFFSET ?1)
		FROM (SELECT machine AS id FROM events WHERE machine <> '' GROUP BY machine HAVING count(*) > ?1)`, args: []any{ofEach}})
	if err != nil {
		return err
	}
	if len(cuts) > 0 {
		if err := s.db.write(ctx, cuts...); err != nil {
			return err
		}
	}
	rows, err := s.db.read(ctx, statement{name: "find old events",
		sql: `SELECT coalesce((SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?1), 0)`, args: []any{ofAll}})
	if err != nil {
		return err
	}
	var last int64
	if err := one(rows, &last); err != nil {
		return err
	}
	return s.db.write(ctx, statement{name: "prune events", sql: `DELETE FROM events WHERE seq <= ?1`, args: []any{last}})
}

// millis is t as it is stored: milliseconds since 1970, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// moment is the inverse of [millis].
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
