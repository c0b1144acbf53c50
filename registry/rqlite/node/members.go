package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"dragonfly/registry"
)

// Members lists the members of the cluster as they are now: each is spoken to,
// which takes up to two seconds. It is nil for a node that stands alone.
func (n *Node) Members(ctx context.Context) ([]registry.ClusterMember, error) {
	if n.member == nil {
		return nil, nil
	}
	return n.member.look(ctx)
}

// Seen is what [Node.Members] returned last, at most a few seconds ago.
func (n *Node) Seen() []registry.ClusterMember {
	if n.member == nil {
		return nil
	}
	if seen := n.member.seen.Load(); seen != nil {
		return *seen
	}
	return nil
}

// Invite makes a join token.
func (n *Node) Invite() (registry.ClusterToken, error) {
	if n.member == nil {
		return registry.ClusterToken{}, registry.ErrNoCluster
	}
	text, expires, err := n.member.folder.Invite()
	return registry.ClusterToken{Token: text, Expires: expires}, err
}

// Remove takes a member out of the cluster, by its ID, its host's name or its
// address. It errs with [*registry.ClusterError] where that would leave the others
// without a majority that answers, with [registry.ErrNotFound], and with
// [registry.ErrUnavailable] while there is no leader.
func (n *Node) Remove(ctx context.Context, name string) (registry.ClusterMember, error) {
	if n.member == nil {
		return registry.ClusterMember{}, registry.ErrNoCluster
	}
	return n.member.remove(ctx, name)
}

func (m *membership) remove(ctx context.Context, name string) (registry.ClusterMember, error) {
	members, err := m.look(ctx)
	if err != nil {
		return registry.ClusterMember{}, err
	}
	gone, err := pick(members, name)
	if err != nil {
		return gone, err
	}
	if why := wouldStop(members, gone); why != "" {
		return gone, &registry.ClusterError{Why: fmt.Sprintf("remove %s: %s", gone.ID, why)}
	}
	if err := m.drop(gone.ID); err != nil {
		return gone, fmt.Errorf("remove %s: %w: %w", gone.ID, registry.ErrUnavailable, err)
	}
	m.log.Info("a member was removed from the cluster", "id", gone.ID, "name", gone.Name, "by", registry.ActorOf(ctx).Name)
	return gone, m.folder.Forget(gone.ID)
}

// pick finds a member by its ID or, where that is of one only, its name.
func pick(members []registry.ClusterMember, name string) (found registry.ClusterMember, err error) {
	count := 0
	for _, m := range members {
		if m.ID == name {
			return m, nil
		}
		if m.Name == name || m.Address == name {
			found = m
			count++
		}
	}
	switch count {
	case 0:
		return found, fmt.Errorf("member %.80q: %w", name, registry.ErrNotFound)
	case 1:
		return found, nil
	}
	return found, &registry.ClusterError{Why: fmt.Sprintf("there are %d members called %s: name one by its ID", count, name)}
}

// wouldStop says why the cluster would stop without a member; empty if it would
// go on.
func wouldStop(members []registry.ClusterMember, gone registry.ClusterMember) string {
	if !gone.Voter {
		return ""
	}
	voters, reachable := 0, 0
	for _, m := range members {
		if m.Voter && m.ID != gone.ID {
			voters++
			if m.Reachable {
				reachable++
			}
		}
	}
	switch majority := voters/2 + 1; {
	case voters == 0:
		return "it is the only member; stop it, and move its folder \"cluster\" away to let it stand alone"
	case reachable < majority:
		return fmt.Sprintf("of the other %d members %d can be reached, and %d are needed for every change: bring them back first", voters, reachable, majority)
	}
	return ""
}

// lookTimeout is how long a member may take to prove that it is there.
const lookTimeout = 1500 * time.Millisecond

// freshFor is how long what was seen is not looked at again.
const freshFor = 500 * time.Millisecond

// look speaks to every member, unless that was done just now, and keeps what it
// saw.
func (m *membership) look(ctx context.Context) ([]registry.ClusterMember, error) {
	m.looking.Lock()
	defer m.looking.Unlock()
	if seen := m.seen.Load(); seen != nil && time.Since(m.looked) < freshFor {
		return *seen, nil
	}
	servers, err := m.store.Nodes()
	if err != nil {
		return nil, fmt.Errorf("list members: %w: %w", registry.ErrUnavailable, err)
	}
	me := m.folder.Member()
	_, leader := m.store.LeaderWithID()
	seen := make([]registry.ClusterMember, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		seen[i] = registry.ClusterMember{ID: s.ID, Address: s.Addr, Self: s.ID == me.ID, Leader: s.ID == leader, Voter: s.Suffrage == "Voter"}
		all.Go(func() { m.visit(&seen[i]) })
	}
	all.Wait()
	if !slices.ContainsFunc(seen, func(m registry.ClusterMember) bool { return m.Self }) {
		seen = append(seen, registry.ClusterMember{ID: me.ID, Name: me.Name, Address: me.Address, Self: true, Reachable: true, Expires: m.folder.Expires()})
	}
	m.recall(seen)
	slices.SortFunc(seen, func(a, b registry.ClusterMember) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	if ctx.Err() == nil {
		m.seen.Store(&seen)
		m.looked = time.Now()
	}
	return seen, nil
}

// visit fills in what only the member itself can say.
func (m *membership) visit(who *registry.ClusterMember) {
	if who.Self {
		who.Name, who.Reachable, who.Expires = m.folder.Member().Name, true, m.folder.Expires()
		return
	}
	conn, err := m.own.Dial(who.Address, lookTimeout)
	if err != nil {
		who.Cause = err.Error()
		return
	}
	defer conn.Close() //nolint:errcheck // nothing was said
	cert, id := certificateOf(conn), peerOf(conn)
	if cert == nil || id != who.ID {
		who.Cause = "another member is there: " + id
		return
	}
	who.Name, who.Reachable, who.Expires = cert.Subject.CommonName, true, cert.NotAfter
}

// recall takes the names of members that cannot be reached from when they could.
func (m *membership) recall(seen []registry.ClusterMember) {
	before := m.seen.Load()
	if before == nil {
		return
	}
	for i := range seen {
		for _, b := range *before {
			if seen[i].Name == "" && b.ID == seen[i].ID {
				seen[i].Name = b.Name
			}
		}
	}
}
