package rqlite

import (
	"sync"
	"testing"
	"time"

	"dragonfly/registry/rqlite/node"
)

// starting holds one start back while another runs: rqlite sets the defaults of
// its raft logger, which are the process's. The appliance starts one node.
var starting sync.Mutex

// StartNode starts an embedded node that ends with the test.
func StartNode(t testing.TB, dir string) *node.Node {
	t.Helper()
	starting.Lock()
	n, err := node.Start(t.Context(), node.Config{Dir: dir})
	starting.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close node: %v", err)
		}
	})
	return n
}

// startStore is a store over a node of its own.
func startStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Embedded(StartNode(t, t.TempDir())))
	if err != nil {
		t.Fatal(err)
	}
	AwaitRest(t, s)
	return s
}

// AwaitRest has the end of the test wait, before it closes the node, until the store
// writes nothing any more: machines are indexed when their commit has returned, and Close
// does not wait for long.
func AwaitRest(t testing.TB, s *Store) {
	t.Cleanup(func() {
		for s.batch.writing() {
			time.Sleep(time.Millisecond)
		}
	})
}

func (b *batcher) writing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writers > 0
}
