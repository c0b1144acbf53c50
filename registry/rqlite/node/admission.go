package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/rqlite/rqlite/v8/command/proto"
	"github.com/rqlite/rqlite/v8/store"

	"dragonfly/registry/rqlite/node/trust"
)

// answerJoin speaks to a host that wants to join.
func (m *membership) answerJoin(host trust.Host, conn *tls.Conn) {
	from := conn.RemoteAddr()
	if !m.port.queue.mayJoin(hostOf(from), time.Now()) {
		m.log.Warn("too many attempts to join the cluster", "from", from)
		return
	}
	id, err := host.Answer(conn)
	if err != nil {
		m.log.Warn("a host may not join the cluster", "from", from, "err", err)
		return
	}
	m.log.Info("a host may join the cluster now", "from", from, "id", id)
}

// mayJoin says whether a host could join at an address, and where the members are.
func (m *membership) mayJoin(id, address string) (seeds []string, err error) {
	if leader, _ := m.store.LeaderAddr(); leader == "" {
		return nil, errors.New("the cluster has no leader now, so nobody can join; bring its members back first")
	}
	members, err := m.store.Nodes()
	if err != nil {
		return nil, err
	}
	for _, member := range members {
		if member.Addr == address && member.ID != id {
			return nil, fmt.Errorf("%s is the address of the member %s; remove that first (`dragonfly cluster remove %s`), or join with another --advertise", address, member.ID, member.ID)
		}
		seeds = append(seeds, member.Addr)
	}
	mine := m.folder.Member().Address // first: this one knows the newcomer
	seeds = slices.DeleteFunc(seeds, func(s string) bool { return s == mine })
	return append([]string{mine}, seeds...), nil
}

// wantVote is what a host asks a member on their own lane, as a line. Whoever only
// wants to see whether the member is there says nothing.
const wantVote = "vote\n"

// admission is the answer, as a JSON document.
type admission struct {
	Wait    string `json:"wait,omitempty"`    // what is waited for; ask again
	Refused string `json:"refused,omitempty"` // why not
}

// admissionTimeout bounds one question and its answer.
const admissionTimeout = 20 * time.Second

// seekAdmission asks the members to let this one vote, until it may.
func (m *membership) seekAdmission(ctx context.Context) {
	last := ""
	for {
		if voter, err := m.store.IsVoter(); err == nil && voter {
			if err := m.folder.Begin(); err != nil {
				m.log.Error("join the cluster", "err", err)
			}
			return
		}
		state := m.askToBeLetIn(ctx)
		if state != last && ctx.Err() == nil {
			m.log.Info("joining the cluster", "state", state)
			last = state
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (m *membership) askToBeLetIn(ctx context.Context) (state string) {
	for _, seed := range m.folder.Member().Seeds {
		if ctx.Err() != nil {
			return ""
		}
		answer, err := m.askAdmission(seed)
		switch {
		case notAMember(err):
			state = fmt.Sprintf("%s does not take this host for a member (any more): if it was removed, stop it; to join again, move the folders \"cluster\" and \"rqlite\" away", seed)
		case err != nil:
			state = err.Error()
		case answer.Refused != "":
			state = answer.Refused
		case answer.Wait != "":
			return answer.Wait
		default:
			return "done"
		}
	}
	return state
}

// notAMember reports whether the other end of a handshake did not want to speak to
// this host.
func notAMember(err error) bool {
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error" // RFC 8446 section 6
}

func (m *membership) askAdmission(address string) (answer admission, err error) {
	conn, err := m.own.Dial(address, dialTimeout)
	if err != nil {
		return answer, err
	}
	defer conn.Close() //nolint:errcheck // everything was said
	if err := conn.SetDeadline(time.Now().Add(admissionTimeout)); err != nil {
		return answer, err
	}
	if _, err := io.WriteString(conn, wantVote); err != nil {
		return answer, err
	}
	err = json.NewDecoder(io.LimitReader(conn, 4<<10)).Decode(&answer)
	return answer, err
}

// answerMembers lets in those that were invited, when they ask.
func (m *membership) answerMembers() {
	for {
		conn, err := m.own.Accept()
		if err != nil {
			return
		}
		m.all.Go(func() {
			defer conn.Close() //nolint:errcheck // everything was said
			asked := make([]byte, len(wantVote))
			if err := conn.SetDeadline(time.Now().Add(admissionTimeout)); err != nil {
				return
			}
			if _, err := io.ReadFull(conn, asked); err != nil || string(asked) != wantVote {
				return
			}
			_ = json.NewEncoder(conn).Encode(m.letIn(peerOf(conn))) // it asks again
		})
	}
}

// peerOf is the ID of the member at the other end of a connection of ours.
func peerOf(conn net.Conn) string {
	t, ok := conn.(*tracked)
	if !ok {
		return ""
	}
	t.port.mu.Lock()
	defer t.port.mu.Unlock()
	return t.port.open[t.Conn].id
}

// letIn makes an invited host a voter, in two steps. It is added without a vote
// first and gets one when it has the data: with a vote, one that cannot be
// reached, or is still copying, would stop every write of a small cluster.
func (m *membership) letIn(id string) admission {
	m.joining.Lock()
	defer m.joining.Unlock()
	address, invited := m.folder.Admitted(id)
	if !invited {
		return admission{Refused: "this member did not invite the host, or it was removed from the cluster since"}
	}
	members, err := m.store.Nodes()
	if err != nil {
		return admission{Wait: err.Error()}
	}
	at := slices.IndexFunc(members, func(s *store.Server) bool { return s.ID == id && s.Addr == address })
	switch {
	case at < 0:
		if err := m.reach(id, address); err != nil {
			return admission{Wait: fmt.Sprintf("%s is not reached from %s: %v", address, m.folder.Member().Address, err)}
		}
		if err := m.add(id, address, false); err != nil {
			return admission{Wait: err.Error()}
		}
		return admission{Wait: "the data is being copied"}
	case members[at].Suffrage != "Voter":
		return m.promote(id, address)
	}
	if err := m.folder.Forget(id); err != nil {
		m.log.Warn("forget an invitation that was used", "id", id, "err", err)
	}
	return admission{}
}

// reach makes sure that the host at address is the one with this ID.
func (m *membership) reach(id, address string) error {
	conn, err := m.own.Dial(address, dialTimeout)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was said
	if there := peerOf(conn); there != id {
		return fmt.Errorf("another member is there: %s", there)
	}
	return nil
}

// promote gives a member that has the data its vote. rqlite does not raise a
// member that is there, so it leaves and comes back.
func (m *membership) promote(id, address string) admission {
	const nearly = 256 // entries that are caught up in a moment
	mine, err := m.store.CommitIndex()
	if err != nil {
		return admission{Wait: err.Error()}
	}
	theirs, err := m.forward.now.Load().GetCommitIndex(address, 0, dialTimeout)
	if err != nil {
		return admission{Wait: err.Error()}
	}
	if theirs == 0 || theirs+nearly < mine {
		return admission{Wait: "the data is being copied"}
	}
	if err := m.drop(id); err != nil {
		return admission{Wait: err.Error()}
	}
	if err := m.add(id, address, true); err != nil {
		return admission{Wait: err.Error()}
	}
	m.log.Info("a host joined the cluster", "id", id, "address", address)
	return admission{Wait: "the vote is being given"}
}

// changeTimeout bounds a change of the members, at the leader.
const changeTimeout = 10 * time.Second

// errNoLeader is why the members cannot be changed now.
var errNoLeader = errors.New("the cluster has no leader now; try again when it has")

// add makes the leader add a member.
func (m *membership) add(id, address string, voter bool) error {
	request := &proto.JoinRequest{Id: id, Address: address, Voter: voter}
	if m.store.IsLeader() {
		return m.store.Join(request)
	}
	leader, _ := m.store.LeaderAddr()
	if leader == "" {
		return errNoLeader
	}
	return m.forward.now.Load().Join(request, leader, nil, changeTimeout)
}

// drop makes the leader remove a member.
func (m *membership) drop(id string) error {
	request := &proto.RemoveNodeRequest{Id: id}
	if m.store.IsLeader() {
		return m.store.Remove(request)
	}
	leader, _ := m.store.LeaderAddr()
	if leader == "" {
		return errNoLeader
	}
	return m.forward.now.Load().RemoveNode(request, leader, nil, changeTimeout)
}
