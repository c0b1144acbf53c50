package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dragonfly/registry/durable"
)

// private returns the node's folder in dir. rqlite makes its files readable for
// everybody, and there are secrets in them: so the folder must not be.
func private(dir string) (string, error) {
	path := filepath.Join(dir, "rqlite")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil { // it may be older than this rule
		return "", fmt.Errorf("make data directory private: %w", err)
	}
	return path, nil
}

// lock keeps a second process out of a data directory. The kernel drops it when
// the process ends, however it ends.
type lock struct{ file *os.File }

// acquire locks dir, or says who has it.
func acquire(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("it is in use by %s; stop that first, or use another directory", owner(f))
	}
	if err == nil {
		err = sign(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory %s: %w", dir, err), f.Close())
	}
	return &lock{f}, nil
}

// sign writes our process id into the lock file, for the next one's message.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// owner describes the process that has f locked.
func owner(f *os.File) string {
	var text [20]byte
	n, _ := f.ReadAt(text[:], 0) // the end of the file is expected here
	if pid, err := strconv.Atoi(string(text[:n])); err == nil {
		return "process " + strconv.Itoa(pid)
	}
	return "another process"
}

// release lets go of the directory.
func (l *lock) release() error { return l.file.Close() }

// identity returns the name that the node in dir has in its raft log. It is made
// once and never changes, since raft would not know itself under another.
func identity(dir, want string) (string, error) {
	path := filepath.Join(dir, "node-id")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if want == "" {
			want = "n-" + strings.ToLower(rand.Text()[:12])
		}
		return want, writeSynced(path, want+"\n")
	}
	if err != nil {
		return "", fmt.Errorf("read node id: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if id == "" || want != "" && want != id {
		return "", fmt.Errorf("read node id: %s says %q, and the node is to be %q; a node keeps its id", path, id, want)
	}
	return id, nil
}

// keepIdentity notes under which name the node in dir is in its raft log, now that
// it is a member of a cluster.
func keepIdentity(dir, id string) error { return writeSynced(filepath.Join(dir, "node-id"), id+"\n") }

// writeSynced writes the file so that after a crash it is whole or what it was.
func writeSynced(path, text string) error {
	if err := durable.Replace(path, []byte(text)); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
