package action

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group holds a program and everything that it starts, so that all of it can be
// killed: a control group, out of which nothing steps by becoming a daemon. Where
// the kernel has none it is the program's process group.
type group struct {
	mount, dir string
	fd         int // of dir; -1 without a control group
}

func newGroup(env *Env) (*group, error) {
	if err := os.MkdirAll(env.path("/run"), 0o755); err != nil {
		return nil, err
	}
	mount, err := os.MkdirTemp(env.path("/run"), "group-")
	if err != nil {
		return nil, err
	}
	g := &group{mount: mount, fd: -1}
	if err := unix.Mount("cgroup2", mount, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return g, nil // the kernel has none
	}
	g.dir, err = os.MkdirTemp(mount, "dragonfly-")
	if err == nil {
		g.fd, err = unix.Open(g.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(g.dir, "cgroup.kill"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a control group: %w", err), g.close())
	}
	return g, nil
}

// kill kills the program and all that it started.
func (g *group) kill(p *os.Process) error {
	if g.fd >= 0 {
		return os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
	}
	if err := syscall.Kill(-p.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return os.ErrProcessDone
}

// close waits until all that was killed is gone.
func (g *group) close() error {
	var err error
	if g.dir != "" {
		err = g.empty()
	}
	if g.fd >= 0 {
		_ = unix.Close(g.fd)
	}
	if g.dir != "" {
		err = errors.Join(err, os.Remove(g.dir), unix.Unmount(g.mount, unix.MNT_DETACH))
	}
	return errors.Join(err, os.Remove(g.mount))
}

// empty waits for the last process to be gone: killed is not dead yet.
func (g *group) empty() error {
	for range 3000 { // a disk or a host that is busy takes its time
		left, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
		if err != nil || len(left) == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	left, _ := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	return fmt.Errorf("processes that cannot be killed: %s", strings.Join(strings.Fields(string(left)), " "))
}
