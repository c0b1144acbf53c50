// Package node runs an rqlite node inside this process: a SQLite database whose
// every write goes through a raft log that is synced to disk before it is
// acknowledged.
//
// A node that stands alone has nobody to talk to, so it opens no port: raft gets
// a network without peers ([solo]), and the store gets an HTTP client that calls
// the node's handler in memory ([Node.Client]). What is not listened on needs no
// password. It is the same handler a remote rqlite serves over TCP, so the store
// has one code path for both; only statements themselves may go around it
// ([Node.Execute], [Node.Query]).
//
// A member of a cluster ([Peers]) opens one port, where every byte is mutual TLS
// between members (package trust). Whatever its client is asked goes to the
// leader, which answers when it has made sure that it still is: so every member
// gives the same answer, and none from a database that is old or empty.
//
// At every start rqlite deletes its SQLite file and builds it again from the
// last snapshot and the raft log. Until that is done it answers queries from an
// empty database, with status 200. For a node that stands alone [Start] therefore
// returns only after a read has gone through the log. A member starts at once:
// the others may be away, and its client says so until they are not.
//
// This is the only package that imports raft and cgo.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/rqlite/rqlite/v8/cluster"
	"github.com/rqlite/rqlite/v8/command/proto"
	httpd "github.com/rqlite/rqlite/v8/http"
	"github.com/rqlite/rqlite/v8/store"
)

// Config says where a node keeps its data.
type Config struct {
	Dir   string       // gets a folder "rqlite", for this user only, held by one process at a time
	ID    string       // name in the raft log of a node that stands alone; empty: the one Dir has, or a new one
	Log   *slog.Logger // gets what rqlite has to say
	Peers *Peers       // nil: the node stands alone, and opens no port
}

// Node is a running rqlite node.
type Node struct {
	dir     string
	self    server
	log     *slog.Logger
	store   *store.Store
	gate    *gate
	network io.Closer
	member  *membership // nil for a node that stands alone
	lock    *lock
	stop    chan struct{}  // closed to end what runs beside the store
	beside  sync.WaitGroup // what does
	once    sync.Once
	closed  error // what the first Close returned
}

// startTimeout bounds the wait for the database to be whole. Rebuilding 400 MB
// takes under 2 s; a slow disk may take its time.
const startTimeout = time.Minute

// Start opens the database in cfg.Dir. A node that stands alone can be read and
// written when it returns. It fails when another process has the directory open,
// and for data that belongs to another node.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := private(cfg.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, err
	}
	n := &Node{dir: dir, log: cfg.Log, lock: lock, stop: make(chan struct{})}
	if err := n.begin(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open database in %s: %w", dir, err), n.Close())
	}
	n.beside.Go(n.snapshots)
	return n, nil
}

// begin makes the node what cfg says: alone, or a member of a cluster.
func (n *Node) begin(ctx context.Context, cfg Config) error {
	id, err := identity(n.dir, cfg.ID)
	if err != nil {
		return err
	}
	if cfg.Peers == nil {
		n.self = server{ID: id, Address: soloAddr{}.String()}
		if err := n.open(id); err != nil {
			return err
		}
		return n.awaitWhole(ctx)
	}
	me := cfg.Peers.Folder.Member()
	n.self = server{ID: me.ID, Address: me.Address}
	n.member = newMembership(cfg.Peers, n.log)
	if err := n.open(id); err != nil {
		return err
	}
	if err := keepIdentity(n.dir, me.ID); err != nil {
		return err
	}
	if n.founds() {
		if err := cfg.Peers.Folder.Begin(); err != nil {
			return err
		}
	}
	n.member.run(n.store)
	return nil
}

// assemble makes the store, its network, and what answers requests.
func (n *Node) assemble() {
	cfg := store.Config{DBConf: store.NewDBConfig(), Dir: n.dir, ID: n.self.ID, Logger: logger(n.log)}
	if n.member != nil {
		var handler http.Handler
		n.store, handler = n.member.assemble(cfg)
		n.gate, n.network = newGate(handler), n.member
		return
	}
	network := newSolo()
	n.store = newStore(cfg, network)
	n.store.SnapshotThreshold = entriesAlone
	n.gate, n.network = newGate(httpd.New("", n.store, cluster.NewClient(network, time.Second), nil)), network
}

// entriesAlone is how many entries the log of a node without peers may have, about:
// rqlite keeps a quarter more than it takes for a snapshot. They are for members that
// fall behind, and one may be a megabyte.
const entriesAlone = 256

// newStore sets every knob that rqlited's flags set: left alone they are zero,
// and zero switches some of them off.
func newStore(cfg store.Config, network store.Layer) *store.Store {
	str := store.New(network, &cfg)
	// At WARN raft announces every start; see [Divert].
	str.RaftLogLevel = "ERROR"
	// A lone node waits out the heartbeat timeout before it elects itself: with
	// rqlited's second a start takes up to two.
	str.HeartbeatTimeout = 200 * time.Millisecond
	str.ElectionTimeout = 200 * time.Millisecond
	str.LeaderLeaseTimeout = 100 * time.Millisecond // raft wants it below the heartbeat
	// Compressing takes as long as all else of a write, and the log is cut anyhow.
	str.SetRequestCompression(math.MaxInt, math.MaxInt)
	str.ApplyTimeout = 10 * time.Second
	str.SnapshotThreshold = 8192
	str.SnapshotThresholdWALSize = snapshotFrom
	str.SnapshotInterval = time.Hour // see [Node.snapshots]
	str.AutoVacInterval = 0
	str.AutoOptimizeInterval = 24 * time.Hour
	str.ShutdownOnRemove = false
	str.BootstrapExpect = 0
	str.ReapTimeout = 0
	str.ReapReadOnlyTimeout = 0
	return str
}

// awaitWhole waits for a strong read. It passes through the raft log, so when it
// returns everything that was committed before it is in the database.
// (Store.Committed promises less: that the log is there, not that it is applied.)
func (n *Node) awaitWhole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return fmt.Errorf("wait for a leader: %w", context.Cause(ctx))
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.strongRead()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a leader: %w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

func (n *Node) strongRead() error {
	_, _, err := n.store.Query(&proto.QueryRequest{
		Request: &proto.Request{Statements: []*proto.Statement{{Sql: "SELECT 1"}}},
		Level:   proto.QueryRequest_QUERY_REQUEST_LEVEL_STRONG,
	})
	return err
}

// Client returns an HTTP client that calls the node in memory, whatever host the
// URL names.
func (n *Node) Client() *http.Client { return &http.Client{Transport: n.gate} }

// The two waits of [Node.Close].
const (
	drainTimeout = 500 * time.Millisecond // for requests that are being answered
	closeTimeout = 5 * time.Second        // for a snapshot, and for rqlite to close
)

// Close stops the node: within 2 s, or within 6 where much was written since the last
// snapshot. Requests being answered get half a second; new ones are refused. What was
// acknowledged is on disk already, so an error here loses nothing. A leader hands over
// to another member first. A second Close returns what the first did.
func (n *Node) Close() error {
	n.once.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	if n.store == nil {
		return n.lock.release()
	}
	if n.member != nil {
		n.member.stop(n.store)
	}
	drained := n.gate.shut(drainTimeout)
	closed := make(chan error, 1)
	go func() {
		close(n.stop)
		n.beside.Wait()
		if n.unsaved() >= snapshotFrom {
			n.snapshot() // or the next start would take as long as the writing did, and the memory of it
		}
		n.awaitCopies()
		closed <- n.store.Close(true)
	}()
	select {
	case err := <-closed:
		return errors.Join(drained, err, n.network.Close(), n.lock.release())
	case <-time.After(closeTimeout):
		// The lock stays: the database is still open in this process.
		return errors.Join(drained, n.network.Close(), fmt.Errorf("close database: still busy after %s", closeTimeout))
	}
}

// awaitCopies waits until no copy of the database and no snapshot is being made. rqlite
// waits for them too, but takes its two times for each other, and where one is just
// about to end it sleeps for 10 s.
func (n *Node) awaitCopies() {
	for {
		status, err := n.store.Stats()
		made, _ := status["snapshot_cas"].(map[string]any)
		if err != nil || made["owner"] == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
