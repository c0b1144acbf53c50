package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rqlite/rqlite/v8/cluster"
	httpd "github.com/rqlite/rqlite/v8/http"
	"github.com/rqlite/rqlite/v8/store"

	"dragonfly/registry"
	"dragonfly/registry/rqlite/node/trust"
)

// Peers makes a node a member of a cluster.
type Peers struct {
	Folder *trust.Folder
	// Port is the cluster port, bound. The node closes it.
	Port net.Listener
	// SealingKey reads what seals the secrets in the database, for hosts that join.
	SealingKey func() ([]byte, error)
}

// membership is what a node has and does as a member of a cluster.
type membership struct {
	folder  *trust.Folder
	port    *port
	log     *slog.Logger
	store   *store.Store
	service *cluster.Service // answers what the other members forward
	forward *forwarder       // forwards to the leader
	own     *lane
	joining sync.Mutex // one host is let in at a time
	seen    atomic.Pointer[[]registry.ClusterMember]
	looking sync.Mutex
	looked  time.Time // when seen was; guarded by looking

	cancel context.CancelFunc
	all    sync.WaitGroup
}

func newMembership(peers *Peers, log *slog.Logger) *membership {
	m := &membership{folder: peers.Folder, port: newPort(peers.Port, peers.Folder, log), log: log, cancel: func() {}}
	host := trust.Host{Folder: peers.Folder, SealingKey: peers.SealingKey, Check: m.mayJoin}
	m.port.admit = m.admit
	m.port.join = func(conn *tls.Conn) { m.answerJoin(host, conn) }
	return m
}

// The raft timeouts of a member. A follower that has not heard of the leader for
// 0.3 to 0.6 s stands for election, and writes resume a second after a leader was
// lost. With less a busy host loses its office without need.
const (
	memberHeartbeat = 300 * time.Millisecond
	memberElection  = 300 * time.Millisecond
	memberLease     = 150 * time.Millisecond
)

// assemble makes the store and what answers requests.
func (m *membership) assemble(cfg store.Config) (*store.Store, http.Handler) {
	m.store = newStore(cfg, m.port.lane(raftLane))
	m.store.HeartbeatTimeout = memberHeartbeat
	m.store.ElectionTimeout = memberElection
	m.store.LeaderLeaseTimeout = memberLease
	forwards := m.port.lane(forwardLane)
	db := database{m.store}
	m.service = cluster.New(forwards, db, m.store, nil) // who may speak was asked in the handshake
	m.forward = newForwarder(forwards)
	return m.store, httpd.New("", db, m.forward, nil)
}

// disassemble undoes assemble.
func (m *membership) disassemble() { _ = m.service.Close() } // it never errs

// run starts what a member does beside answering.
func (m *membership) run(str *store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.own = m.port.lane(memberLane)
	_ = m.service.Open() // it never errs
	changes := make(chan bool, 16)
	str.RegisterLeaderChange(changes)
	m.all.Go(m.port.serve)
	m.all.Go(m.answerMembers)
	m.all.Go(func() { m.followLeader(ctx, changes) })
	m.all.Go(func() { m.keep(ctx) })
	m.all.Go(func() { m.seekAdmission(ctx) })
}

// stop ends what run started, but for the port, and hands leadership over. The
// store is still open.
func (m *membership) stop(str *store.Store) {
	m.cancel()
	if !str.IsLeader() {
		return
	}
	done := make(chan error, 1)
	go func() { done <- str.Stepdown(true, "") }()
	select {
	case err := <-done:
		m.log.Debug("hand over leadership", "err", err)
	case <-time.After(handOverTimeout):
	}
}

const handOverTimeout = time.Second

// Close closes the port. The store is closed, or will not come back.
func (m *membership) Close() error {
	err := m.port.close()
	if m.own != nil {
		_ = m.own.Close() // never errs
	}
	m.disassemble()
	m.all.Wait()
	return err
}

// admit says who may speak: members, and one who was invited. A node that is not
// a member yet hears every member, since it does not know them.
func (m *membership) admit(id string) error {
	members, err := m.store.Nodes()
	if err != nil {
		return fmt.Errorf("this host is not ready: %w", err)
	}
	known := len(members) > 0
	for _, member := range members {
		if member.ID == id {
			return nil
		}
	}
	if _, invited := m.folder.Admitted(id); invited {
		return nil
	}
	if known && hasID(members, m.folder.Member().ID) {
		return fmt.Errorf("%s is not a member of this cluster, or no more", id)
	}
	return nil
}

func hasID(members []*store.Server, id string) bool {
	for _, m := range members {
		if m.ID == id {
			return true
		}
	}
	return false
}

// keep looks after the other members and the certificate until ctx ends.
func (m *membership) keep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		m.port.cut(func(to link) bool { return to.id != "" && m.admit(to.id) != nil })
		if n%2 == 0 {
			m.look(ctx)
		}
		if n%3600 == 0 {
			m.renew()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m *membership) renew() {
	renewed, err := m.folder.Renew()
	if err != nil {
		m.log.Error("renew the certificate of this member", "expires", m.folder.Expires(), "err", err)
	} else if renewed {
		m.log.Info("the certificate of this member was renewed", "expires", m.folder.Expires())
	}
}

// followLeader gives up on what the last leader was asked when another follows
// it: that one's host may be gone without a word. Whoever asked tries again.
func (m *membership) followLeader(ctx context.Context, changes <-chan bool) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		}
		leader, id := m.store.LeaderWithID()
		m.log.Info("leader of the cluster", "id", id, "address", leader)
		m.forward.renew()
		m.port.cut(func(to link) bool { return to.lane == forwardLane && to.address != "" && to.address != leader })
	}
}
