package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/rqlite/rqlite/v8/store"

	"dragonfly/registry/rqlite/node/trust"
)

// server is a node in the configuration of its raft log, and in rqlite's file
// that forces one.
type server struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	NonVoter bool   `json:"non_voter"`
}

// open starts the store, and makes the raft log's configuration fit. before is
// the ID that the node had at its last start.
func (n *Node) open(before string) error {
	n.assemble()
	if err := openStore(n.store); err != nil {
		return err
	}
	members, err := n.store.Nodes()
	if err != nil {
		return err
	}
	switch {
	case n.isIn(members):
		return nil
	case len(members) == 0 && n.begun():
		return errNoData
	case len(members) == 0 && n.founds():
		return n.store.Bootstrap(store.NewServer(n.self.ID, n.self.Address, true))
	case len(members) == 1 && wasAlone(members[0], before):
		return n.rename()
	case n.member == nil:
		return fmt.Errorf("it is the database of a cluster of %d, and this host's folder \"cluster\" is missing beside it: put that back, or move the database away", len(members))
	case len(members) > 0 && n.founds():
		return errors.New("it is the database of another cluster, or this host was removed from this one; move it away and join again")
	}
	return nil // it is still joining
}

// opening is held while a store opens: rqlite then sets the default options of its
// raft's log, which all nodes of this process have in common.
var opening sync.Mutex

func openStore(s *store.Store) error {
	opening.Lock()
	defer opening.Unlock()
	return s.Open()
}

func (n *Node) isIn(members []*store.Server) bool {
	for _, m := range members {
		if m.ID == n.self.ID && m.Addr == n.self.Address {
			return true
		}
	}
	return false
}

// founds reports whether the node is the first of its cluster, rather than one
// that joins.
func (n *Node) founds() bool { return n.member == nil || len(n.member.folder.Member().Seeds) == 0 }

func (n *Node) begun() bool { return n.member != nil && n.member.folder.Begun() }

// errNoData is about a member that forgot what it promised: its votes, and what it
// helped to acknowledge. The others must not count on it any more.
var errNoData = errors.New("this host is a member of a cluster, and its part of the database is gone: put it back; or remove the host on another one (dragonfly cluster remove), move its folder \"cluster\" away and join again")

// wasAlone reports whether the only node in a raft log is the one whose log it is.
func wasAlone(only *store.Server, before string) bool {
	return only.ID == before || only.Addr == soloAddr{}.String()
}

// rename gives the only node of a raft log another ID and address: those it has
// as a member of a cluster, or again without one.
func (n *Node) rename() error {
	if err := n.store.Close(true); err != nil {
		return err
	}
	if n.member != nil {
		n.member.disassemble()
	}
	if err := forceConfiguration(n.dir, n.self); err != nil {
		return err
	}
	n.log.Info("the database gets another address in its log", "id", n.self.ID, "address", n.self.Address)
	n.assemble()
	return openStore(n.store)
}

// Recover makes the member in dir the only one of its cluster at its next start,
// with the data it has. No node may be running there.
func Recover(dir string, f *trust.Folder) error {
	path, err := private(dir)
	if err != nil {
		return err
	}
	lock, err := acquire(path)
	if err != nil {
		return err
	}
	err = f.Recover()
	if err == nil {
		me := f.Member()
		err = forceConfiguration(path, server{ID: me.ID, Address: me.Address})
	}
	return errors.Join(err, lock.release())
}

// forceConfiguration tells rqlite to make a node the only one in its log when it
// opens. It removes the file when that is done; a crash in between starts it anew.
func forceConfiguration(dir string, only server) error {
	text, err := json.Marshal([]server{only})
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, "raft", "peers.json"), string(text))
}

// HasData reports whether there is a database in dir, of a node that stands alone
// or of a member.
func HasData(dir string) bool {
	log := filepath.Join(dir, "rqlite", "raft.db")
	for _, name := range []string{log, log + ".old"} { // of an earlier version, half taken over
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return false
}

// SetAside renames what the node in dir kept, and returns its new name. No node
// may be running there.
func SetAside(dir string) (string, error) {
	path, err := private(dir)
	if err != nil {
		return "", err
	}
	lock, err := acquire(path)
	if err != nil {
		return "", err
	}
	name := path + ".before-join"
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s.before-join-%d", path, n)
	}
	return name, errors.Join(os.Rename(path, name), lock.release())
}
