package action

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// chroot is a volume in which programs run.
type chroot struct {
	*volume
	mounts []int    // descriptors of what is mounted in it, in that order
	undo   []func() // what else is to be taken back, after that is unmounted
}

// furnish mounts what programs expect. A directory that is missing is left out: a
// program that needs it will say so.
func (c *chroot) furnish(names bool) error {
	if err := c.others(); err != nil {
		return err
	}
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{c.env.path("/dev"), "/dev", "", unix.MS_BIND | unix.MS_REC},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		{c.env.path("/sys"), "/sys", "", unix.MS_BIND | unix.MS_REC},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		err := c.add(m.source, m.target, m.kind, m.flags)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("mount %s in %s: %w", m.target, c.device, err)
		}
	}
	if !names {
		return nil
	}
	if err := c.resolve(); err != nil {
		return fmt.Errorf("UPDATE_RESOLV_CONF: %w", err)
	}
	return nil
}

// add mounts something at a place in the volume. It is held by a descriptor, so
// that it can be unmounted wherever a program has moved it.
func (c *chroot) add(source, target, kind string, flags uintptr) error {
	place, err := c.openHow(target, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(place) }()
	if err := unix.Mount(source, descriptor(place), kind, flags, ""); err != nil {
		return err
	}
	mounted, err := c.openHow(target, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	c.mounts = append(c.mounts, mounted)
	if flags&unix.MS_BIND == 0 {
		return nil
	}
	// What is unmounted here is to stay mounted where it came from.
	return unix.Mount("", descriptor(mounted), "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// descriptor is a path that leads to what is open.
func descriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// close unmounts what was mounted, the last first.
func (c *chroot) close() (err error) {
	for i := len(c.mounts) - 1; i >= 0; i-- {
		if e := unix.Unmount(descriptor(c.mounts[i]), unix.MNT_DETACH); e != nil {
			err = errors.Join(err, fmt.Errorf("unmount in %s: %w", c.device, e))
		}
		_ = unix.Close(c.mounts[i])
	}
	for _, undo := range c.undo {
		undo()
	}
	c.mounts, c.undo = nil, nil
	return err
}

const resolvConf = "/etc/resolv.conf"

// resolve lets programs find the name servers that we found, and changes nothing on
// the disk: our file is mounted over theirs. Theirs is often a link into /run, where
// nothing is yet.
func (c *chroot) resolve() error {
	ours := c.env.path(resolvConf)
	if _, err := os.Stat(ours); err != nil {
		return fmt.Errorf("there are no name servers: %w", err)
	}
	theirs, err := c.open(resolvConf, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		theirs, err = c.newResolvConf()
	}
	if err != nil {
		return err
	}
	if err := theirs.Close(); err != nil {
		return err
	}
	return c.add(ours, resolvConf, "", unix.MS_BIND)
}

// newResolvConf makes the file, or the one that the link leads to, and takes it away
// in the end.
func (c *chroot) newResolvConf() (*os.File, error) {
	name := resolvConf
	etc, err := c.openHow("/etc", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(etc) }()
	link := make([]byte, 4096)
	if n, err := unix.Readlinkat(etc, "resolv.conf", link); err == nil {
		if name = string(link[:n]); !path.IsAbs(name) {
			name = path.Join("/etc", name)
		}
	}
	if err := c.mkdirs(path.Dir(name), owner{mode: 0o755}); err != nil {
		return nil, err
	}
	f, err := c.open(name, unix.O_CREAT|unix.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	dir, err := c.openHow(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	c.undo = append(c.undo, func() {
		_ = unix.Unlinkat(dir, path.Base(name), 0)
		_ = unix.Close(dir)
	})
	return f, nil
}

// run runs a program of the volume.
func (c *chroot) run(ctx context.Context, words ...string) error {
	program, err := c.lookPath(words[0])
	if err != nil {
		return err
	}
	c.env.logf("run %s", strings.Join(words, " "))
	cmd := exec.CommandContext(ctx, program, words[1:]...)
	cmd.Dir, cmd.Env = "/", c.env.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.dir}
	return c.env.runProgram(ctx, cmd, words[0])
}

// runProgram runs a program until it ends, and then ends what it left running.
func (e *Env) runProgram(ctx context.Context, cmd *exec.Cmd, name string) error {
	group, err := newGroup(e)
	if err != nil {
		return err
	}
	output := &lineLog{log: e.logf}
	cmd.Stdout, cmd.Stderr = output, output
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, group.fd >= 0, max(0, group.fd)
	cmd.Cancel = func() error { return group.kill(cmd.Process) }
	cmd.WaitDelay = time.Second // for what is left of the output, when a child keeps it open
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if cmd.Process != nil {
		_ = group.kill(cmd.Process)
	}
	output.end()
	if err := group.close(); err != nil {
		e.logf("end what %s left running: %v", name, err)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case output.last != "":
		return fmt.Errorf("%s: %w: %s", name, err, output.last)
	}
	return fmt.Errorf("%s: %w", name, err)
}
