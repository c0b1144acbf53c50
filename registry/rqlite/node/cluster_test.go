package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite/node"
	"dragonfly/registry/rqlite/node/trust"
)

// member is one host of a cluster, in this process.
type member struct {
	name, dir, address string
	node               *node.Node
}

// listen takes a free port of an address.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// found begins a cluster on 127.0.0.2.
func found(t *testing.T, dir string) *member {
	t.Helper()
	l := listen(t, "127.0.0.2:0")
	m := &member{name: "a", dir: dir, address: l.Addr().String()}
	if _, err := trust.Found(dir, m.name, m.address); err != nil {
		t.Fatal(err)
	}
	m.start(t, l)
	return m
}

// start runs the member, on its port or l.
func (m *member) start(t *testing.T, l net.Listener) {
	t.Helper()
	if l == nil {
		l = listen(t, m.address)
	}
	folder, err := trust.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	sealing := func() ([]byte, error) { return []byte("sealing key"), nil }
	m.node, err = node.Start(t.Context(), node.Config{Dir: m.dir, Log: logOf(t, m.name), Peers: &node.Peers{Folder: folder, Port: l, SealingKey: sealing}})
	if err != nil {
		t.Fatal(err)
	}
	n := m.node
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close %s: %v", m.name, err)
		}
	})
}

func logOf(t *testing.T, name string) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With("on", name)
}

// join lets another host in.
func (m *member) join(t *testing.T, name, host string) *member {
	t.Helper()
	token, err := m.node.Invite()
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, host+":0")
	other := &member{name: name, dir: t.TempDir(), address: l.Addr().String()}
	joiner := trust.Joiner{DataDir: other.dir, Token: token.Token, Name: name, Address: other.address}
	err = underLeader(t, func() error {
		m.ask(t, query, `["SELECT 1"]`) // it has a leader: few attempts to join are heard
		_, err := joiner.Join(t.Context(), func(key []byte) error {
			if string(key) != "sealing key" {
				return fmt.Errorf("sealing key %q", key)
			}
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	other.start(t, l)
	other.await(t, "is a voter", func(all []registry.ClusterMember) bool {
		for _, m := range all {
			if m.Self && m.Voter {
				return true
			}
		}
		return false
	})
	return other
}

// underLeader does what needs a leader: on a busy host one may be lost, and there is
// another one a moment later.
func underLeader(t *testing.T, do func() error) error {
	t.Helper()
	var err error
	for range 300 {
		if err = do(); err == nil || !errors.Is(err, registry.ErrUnavailable) && !strings.Contains(err.Error(), "no leader now") {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// attempts are made 50 ms apart: for a minute, as a busy host may be held up for long.
const attempts = 1200

// eventually waits for something.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range attempts {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// await asks for the members until they are as wanted.
func (m *member) await(t *testing.T, what string, ok func([]registry.ClusterMember) bool) {
	t.Helper()
	var last []registry.ClusterMember
	for range attempts {
		all, err := m.node.Members(t.Context())
		if err == nil && ok(all) {
			return
		}
		last = all
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: never %s: %+v", m.name, what, last)
}

// ask sends statements until they are answered.
func (m *member) ask(t *testing.T, path, body string) string {
	t.Helper()
	answer := ""
	for range attempts {
		var ok bool
		if answer, ok = m.try(t, path, body); ok {
			return answer
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: %s %s is never answered: %s", m.name, path, body, answer)
	return ""
}

// try sends statements once; not ok where the cluster could not carry them out.
func (m *member) try(t *testing.T, path, body string) (answer string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := m.node.Client().Do(req)
	if err != nil {
		return err.Error(), false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), resp.StatusCode == http.StatusOK && !strings.HasPrefix(string(text), `{"results":[],"error"`)
}

const (
	execute = "/db/execute?transaction"
	query   = "/db/query?level=weak"
)

// three is a cluster of three with a table in it.
func three(t *testing.T) (a, b, c *member) {
	t.Helper()
	a = found(t, t.TempDir())
	a.ask(t, execute, `["CREATE TABLE x (n INTEGER PRIMARY KEY)"]`)
	return a, a.join(t, "b", "127.0.0.3"), a.join(t, "c", "127.0.0.4")
}

func TestEveryMemberGivesTheSameAnswer(t *testing.T) {
	a, b, c := three(t)
	for n, m := range []*member{a, b, c} {
		m.ask(t, execute, fmt.Sprintf(`["INSERT INTO x VALUES (%d)"]`, n))
		for _, other := range []*member{a, b, c} {
			if got := other.ask(t, query, `["SELECT max(n) FROM x"]`); !strings.Contains(got, fmt.Sprintf("[[%d]]", n)) {
				t.Errorf("%s does not see what was written on %s: %s", other.name, m.name, got)
			}
		}
	}
}

func TestALoneNodeWithDataBeginsACluster(t *testing.T) {
	dir := t.TempDir()
	alone := start(t, dir)
	if _, text := post(t, alone, execute, `["CREATE TABLE x (n)", "INSERT INTO x VALUES (7)"]`); strings.Contains(text, "error") {
		t.Fatal(text)
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	a := found(t, dir)
	a.ask(t, query, `["SELECT 1"]`) // it has a leader
	b := a.join(t, "b", "127.0.0.3")
	if got := b.ask(t, query, `["SELECT n FROM x"]`); !strings.Contains(got, "[[7]]") {
		t.Errorf("what the lone node had is not in the cluster: %s", got)
	}
	if err := a.node.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Start(t.Context(), node.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "cluster of 2") {
		t.Errorf("a member that lost its folder starts alone: %v", err)
	}
}

func TestARemovedMemberIsCutOff(t *testing.T) {
	a, b, c := three(t)
	remove := func(name string) error {
		return underLeader(t, func() error { _, err := a.node.Remove(t.Context(), name); return err })
	}
	eventually(t, "c is removed", func() bool {
		err := remove("c") // refused where b did not answer in time, and not found where the leader was lost behind it
		return err == nil || errors.Is(err, registry.ErrNotFound)
	})
	a.await(t, "without c", func(all []registry.ClusterMember) bool { return len(all) == 2 })
	a.ask(t, execute, `["INSERT INTO x VALUES (1)"]`)
	b.ask(t, execute, `["INSERT INTO x VALUES (2)"]`)
	eventually(t, "it reads no more", func() bool { _, ok := c.try(t, query, `["SELECT n FROM x"]`); return !ok })
	if answer, ok := c.try(t, execute, `["INSERT INTO x VALUES (3)"]`); ok {
		t.Errorf("it still writes: %s", answer)
	}
	if err := remove("nobody"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removing nobody: %v", err)
	}
	if err := b.node.Close(); err != nil {
		t.Fatal(err)
	}
	// Once a has noticed that it is alone, it leads no more.
	var refused *registry.ClusterError
	if err := remove("a"); !errors.As(err, &refused) && !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("removing what is needed: %v", err)
	}
}

func TestAMemberThatLostItsDataDoesNotVote(t *testing.T) {
	a := found(t, t.TempDir())
	a.ask(t, query, `["SELECT 1"]`)
	b := a.join(t, "b", "127.0.0.3")
	for _, m := range []*member{a, b} {
		eventually(t, m.name+" has noted that it is a member", func() bool {
			folder, err := trust.Open(m.dir)
			return err == nil && folder.Begun()
		})
	}
	for _, m := range []*member{a, b} {
		if err := m.node.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(m.dir, "rqlite")); err != nil {
			t.Fatal(err)
		}
		folder, err := trust.Open(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = node.Start(t.Context(), node.Config{Dir: m.dir, Peers: &node.Peers{Folder: folder, Port: listen(t, m.address)}})
		if err == nil || !strings.Contains(err.Error(), "is gone") {
			t.Errorf("%s without its data: %v", m.name, err)
		}
	}
}

func TestASurvivorGoesOnAlone(t *testing.T) {
	a := found(t, t.TempDir())
	a.ask(t, execute, `["CREATE TABLE x (n)"]`)
	b := a.join(t, "b", "127.0.0.3")
	b.ask(t, execute, `["INSERT INTO x VALUES (7)"]`)
	for _, m := range []*member{a, b} {
		if err := m.node.Close(); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := trust.Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Recover(b.dir, folder); err != nil {
		t.Fatal(err)
	}
	b.start(t, nil)
	if got := b.ask(t, query, `["SELECT n FROM x"]`); !strings.Contains(got, "[[7]]") {
		t.Errorf("the survivor has %s", got)
	}
	c := b.join(t, "c", "127.0.0.4")
	c.ask(t, execute, `["INSERT INTO x VALUES (8)"]`)
}

func TestAMemberStandsAloneAgain(t *testing.T) {
	dir := t.TempDir()
	a := found(t, dir)
	a.ask(t, execute, `["CREATE TABLE x (n)", "INSERT INTO x VALUES (7)"]`)
	if err := a.node.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "cluster")); err != nil {
		t.Fatal(err)
	}
	alone := start(t, dir)
	if _, text := post(t, alone, "/db/query?level=none", `["SELECT n FROM x"]`); !strings.Contains(text, "[[7]]") {
		t.Errorf("alone again it has %s", text)
	}
}
