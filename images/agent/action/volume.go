package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/signature"
)

// volume is a file system on a device, mounted for one action. What is in it is
// reached through [volume.open] and the like alone, which never lead out of it: a
// link there means what it means to the system that is installed there.
type volume struct {
	env    *Env
	device string // as the action names it
	kind   string // of the file system
	dir    string // where it is mounted
	root   int    // descriptor of dir
}

// deviceFor is how long a device that an action names may take to appear: the
// partitions of a disk that was just written come one by one.
const deviceFor = 5 * time.Second

// Modules are the kernel modules that a file system needs. There is no modprobe in
// the agent's image that the kernel could call.
func Modules(kind string) []string {
	switch kind {
	case "ext2", "ext3", "ext4":
		return []string{"crypto-crc32c", "ext4"}
	case "xfs", "btrfs":
		return []string{"crypto-crc32c", kind}
	case "vfat":
		return []string{"nls_cp437", "nls_ascii", "vfat"}
	}
	return nil
}

// mount mounts a device. kind is what it has to be; empty is whatever it is.
func (e *Env) mount(ctx context.Context, device, kind string, flags uintptr) (*volume, error) {
	v, err := e.mountAt(ctx, device, kind, flags)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", device, err)
	}
	return v, nil
}

func (e *Env) mountAt(ctx context.Context, device, kind string, flags uintptr) (*volume, error) {
	node, err := e.node(ctx, device)
	if err != nil {
		return nil, err
	}
	return e.mountNode(device, node, kind, flags)
}

// mountNode mounts a device that an action names by another name.
func (e *Env) mountNode(device, node, kind string, flags uintptr) (*volume, error) {
	found, err := fileSystemOn(node)
	if err != nil {
		return nil, err
	}
	if kind != "" && kind != found && !slices.Contains(relatives[kind], found) {
		return nil, fmt.Errorf("it is %s, and FS_TYPE says %s", found, kind)
	}
	if flags&unix.MS_RDONLY == 0 {
		if err := e.writing(device); err != nil {
			return nil, err
		}
	}
	e.need(Modules(found)...)
	if err := os.MkdirAll(e.path("/run"), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.path("/run"), "volume-")
	if err != nil {
		return nil, err
	}
	if err := unix.Mount(node, dir, found, flags, ""); err != nil {
		return nil, errors.Join(fmt.Errorf("as %s: %w", found, err), os.Remove(dir))
	}
	v := &volume{env: e, device: device, kind: found, dir: dir}
	if v.root, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, errors.Join(err, v.unmount())
	}
	return v, nil
}

// relatives are the types that a type of file system may turn out to be: ext2 with
// a journal is ext3.
var relatives = map[string][]string{
	"ext2": {"ext3", "ext4"}, "ext3": {"ext2", "ext4"}, "ext4": {"ext2", "ext3"}, "fat": {"vfat"}, "fat32": {"vfat"}, "msdos": {"vfat"},
}

// fileSystemOn is the type of the file system on a device.
func fileSystemOn(node string) (string, error) {
	f, err := os.Open(node)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", err
	}
	found, err := signature.Probe(f, size)
	var others []string
	for _, s := range found {
		if s.Kind == signature.FileSystem {
			return s.Type, nil
		}
		others = append(others, s.Type)
	}
	switch {
	case err != nil:
		return "", err
	case others != nil:
		return "", fmt.Errorf("there is no file system on it, but %s", strings.Join(others, ", "))
	}
	return "", errors.New("there is no file system on it")
}

// close unmounts the file system; what was written is on the device then.
func (v *volume) close() error {
	return errors.Join(unix.Close(v.root), v.unmount())
}

// unmount waits a little for what still has a file open, such as a program that was
// just killed.
func (v *volume) unmount() error {
	var err error
	for range 50 {
		if err = unix.Unmount(v.dir, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		// It goes when the last file is closed.
		err = errors.Join(fmt.Errorf("unmount %s: %w", v.device, err), unix.Unmount(v.dir, unix.MNT_DETACH))
	}
	return errors.Join(err, os.Remove(v.dir))
}

// partOf is the name that udev gives to a partition of a disk.
var partOf = regexp.MustCompile(`^(/dev/disk/.*)-part([0-9]+)$`)

// node is the path of a device that an action names, once it is there.
func (e *Env) node(ctx context.Context, device string) (string, error) {
	if !strings.HasPrefix(path.Clean(device), "/dev/") {
		return "", fmt.Errorf("%q is no path of a device below /dev", device)
	}
	for deadline := time.Now().Add(deviceFor); ; {
		node, err := e.find(device)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return node, err
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("there is no such device: %w", err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// find follows the links to a device. That of a partition may not be made yet.
func (e *Env) find(device string) (string, error) {
	node, err := filepath.EvalSymlinks(e.path(device))
	if m := partOf.FindStringSubmatch(device); err != nil && m != nil {
		disk, diskErr := filepath.EvalSymlinks(e.path(m[1]))
		if diskErr != nil {
			return "", diskErr
		}
		node, err = filepath.EvalSymlinks(partNode(disk, m[2]))
	}
	if err != nil {
		return "", err
	}
	var s unix.Stat_t
	if err := unix.Stat(node, &s); err != nil {
		return "", err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", fmt.Errorf("%s is no block device", node)
	}
	return node, nil
}

// partNode is the node of a partition: sda1, nvme0n1p1.
func partNode(disk, number string) string {
	if last := disk[len(disk)-1]; last >= '0' && last <= '9' {
		disk += "p"
	}
	return disk + number
}

// openHow opens below the root of a volume, and takes every link for one from
// there.
func (v *volume) openHow(name string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for {
		fd, err := unix.Openat2(v.root, name, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) { // something was renamed meanwhile
			continue
		}
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return fd, nil
	}
}

// open opens a regular file of the volume.
func (v *volume) open(name string, flags int, mode uint32) (*os.File, error) {
	irregular := &fs.PathError{Op: "open", Path: name, Err: errors.New("it is not a regular file")}
	fd, err := v.openHow(name, flags|unix.O_NONBLOCK|unix.O_NOCTTY, mode) // never hang on a pipe
	if errors.Is(err, unix.ENXIO) {
		return nil, irregular
	}
	if err != nil {
		return nil, err
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return nil, irregular
	}
	return os.NewFile(uintptr(fd), name), nil
}

// exists reports whether there is a regular file of that name.
func (v *volume) exists(name string) bool {
	f, err := v.open(name, unix.O_RDONLY, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// names lists a directory of the volume, sorted; nil where there is none.
func (v *volume) names(dir string) []string {
	fd, err := v.openHow(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	names, _ := f.Readdirnames(10_000)
	slices.Sort(names)
	return names
}

// owner is whom what is made belongs to, and what may be done with it.
type owner struct {
	uid, gid int
	mode     uint32
}

// mkdirs makes a directory and those above it. Those that are there already stay as
// they are.
func (v *volume) mkdirs(dir string, as owner) error {
	dir = path.Clean("/" + dir)
	fd, err := v.openHow(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil {
		return unix.Close(fd)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := v.mkdirs(path.Dir(dir), as); err != nil {
		return err
	}
	parent, err := v.openHow(path.Dir(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(parent) }()
	if err := unix.Mkdirat(parent, path.Base(dir), as.mode); err != nil {
		return &fs.PathError{Op: "make directory", Path: dir, Err: err}
	}
	if fd, err = v.openHow(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), dir)
	return errors.Join(as.give(f), f.Close())
}

// give hands a file over.
func (o owner) give(f *os.File) error {
	if err := f.Chown(o.uid, o.gid); err != nil {
		return err
	}
	// After the owner: changing that takes the set-user-ID bit away. Not os.File's
	// own, which knows fewer bits.
	if err := unix.Fchmod(int(f.Fd()), o.mode); err != nil {
		return &fs.PathError{Op: "change the mode of", Path: f.Name(), Err: err}
	}
	return nil
}
