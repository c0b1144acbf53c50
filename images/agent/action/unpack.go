package action

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// unpacker puts the entries of an archive into a directory of a volume, with their
// owners, modes, times and extended attributes. The directory is the root of every
// path and every link on the way, as if it were the root of the system: nothing is
// made outside of it, whatever the archive says and whatever was there before.
type unpacker struct {
	env     *Env
	in      volume // its root is the directory
	plain   bool   // the file system has no owners, modes and links
	parent  int    // descriptor of the directory the last entry was in; -1: none
	dir     string // its name
	times   []dirTime
	told    bool // that attributes are lost
	buffer  []byte
	written *atomic.Int64
}

// dirTime is when a directory was changed; making files in it changes that.
type dirTime struct {
	name string
	at   time.Time
}

// maxTimes bounds the memory for the times of directories.
const maxTimes = 200_000

// ownerless are the file systems in which files have no owners.
var ownerless = []string{"vfat", "msdos", "exfat"}

func newUnpacker(env *Env, v *volume, dest string) (*unpacker, error) {
	if err := v.mkdirs(dest, owner{mode: 0o755}); err != nil {
		return nil, err
	}
	root, err := v.openHow(dest, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	u := &unpacker{env: env, in: *v, plain: slices.Contains(ownerless, v.kind), parent: -1, buffer: make([]byte, 1<<20), written: new(atomic.Int64)}
	u.in.root = root
	return u, nil
}

func (u *unpacker) close() {
	u.leave()
	_ = unix.Close(u.in.root)
}

// all unpacks every entry.
func (u *unpacker) all(ctx context.Context, r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return u.setTimes()
		}
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := u.entry(ctx, h, r); err != nil {
			return fmt.Errorf("%s: %w", h.Name, cause(err))
		}
	}
}

// entry unpacks one entry.
func (u *unpacker) entry(ctx context.Context, h *tar.Header, content io.Reader) error {
	name, err := rooted(h.Name)
	if err != nil || h.Typeflag == tar.TypeXGlobalHeader {
		return err
	}
	switch {
	case name == "/" && h.Typeflag == tar.TypeDir:
		return u.directory(h, name)
	case name == "/":
		return errors.New("it names the directory that is unpacked into, and is none")
	}
	if err := u.enter(path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(h, name)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return u.file(ctx, h, path.Base(name), content)
	}
	return u.special(h, path.Base(name))
}

// rooted is the path of an entry below the root, "/" first.
func rooted(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", errors.New("the path climbs out of the directory that is unpacked into")
	}
	return path.Clean("/" + name), nil
}

// enter makes dir the directory that entries are made in.
func (u *unpacker) enter(dir string) error {
	if u.parent >= 0 && u.dir == dir {
		return nil
	}
	u.leave()
	fd, err := u.in.openHow(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err = u.in.mkdirs(dir, owner{mode: 0o755}); err == nil {
			fd, err = u.in.openHow(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		}
	}
	if err != nil {
		return err
	}
	u.parent, u.dir = fd, dir
	return nil
}

func (u *unpacker) leave() {
	if u.parent >= 0 {
		_ = unix.Close(u.parent)
		u.parent = -1
	}
}

// directory makes a directory, or takes the one that is there, also behind a link.
func (u *unpacker) directory(h *tar.Header, name string) error {
	if name != "/" {
		err := unix.Mkdirat(u.parent, path.Base(name), 0o700)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	fd, err := u.in.openHow(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if len(u.times) < maxTimes {
		u.times = append(u.times, dirTime{name, h.ModTime})
	}
	return u.give(f, h)
}

// file makes a regular file.
func (u *unpacker) file(ctx context.Context, h *tar.Header, name string, content io.Reader) error {
	if err := u.clear(name); err != nil {
		return err
	}
	fd, err := unix.Openat(u.parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), h.Name)
	if err := u.copy(ctx, f, content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(u.give(f, h), f.Close()); err != nil {
		return err
	}
	return setTime(u.parent, name, h.ModTime)
}

// copy writes the contents of a file.
func (u *unpacker) copy(ctx context.Context, f *os.File, content io.Reader) error {
	for {
		n, err := fill(content, u.buffer)
		if _, err := f.Write(u.buffer[:n]); err != nil {
			return err
		}
		u.written.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
}

// special makes what is neither a directory nor a regular file.
func (u *unpacker) special(h *tar.Header, name string) error {
	defer u.leave() // a link may have changed what the name of the directory means
	if err := u.clear(name); err != nil {
		return err
	}
	kind, isNode := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	var err error
	switch {
	case h.Typeflag == tar.TypeLink:
		return u.hardLink(h.Linkname, name)
	case h.Typeflag == tar.TypeSymlink:
		err = unix.Symlinkat(h.Linkname, u.parent, name)
	case isNode:
		err = unix.Mknodat(u.parent, name, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	default:
		return fmt.Errorf("an entry of type %q is not known", h.Typeflag)
	}
	if errors.Is(err, unix.EPERM) && u.plain {
		return fmt.Errorf("%s has no links and no devices", u.in.kind)
	}
	if err != nil {
		return err
	}
	if err := unix.Fchownat(u.parent, name, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if isNode {
		if err := unix.Fchmodat(u.parent, name, mode(h), 0); err != nil {
			return err
		}
	}
	return setTime(u.parent, name, h.ModTime)
}

// hardLink gives a file of the archive another name.
func (u *unpacker) hardLink(to, name string) error {
	to, err := rooted(to)
	if err != nil {
		return err
	}
	fd, err := u.in.openHow(to, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("link to %s: %w", to, cause(err))
	}
	defer unix.Close(fd)
	if err := unix.Linkat(fd, "", u.parent, name, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("link to %s: %w", to, err)
	}
	return nil
}

// clear takes away what has the name of an entry and is no directory.
func (u *unpacker) clear(name string) error {
	err := unix.Unlinkat(u.parent, name, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EISDIR):
		return errors.New("there is a directory of that name")
	}
	return err
}

// mode is the permissions of an entry, with the three bits above them.
func mode(h *tar.Header) uint32 { return uint32(h.Mode) & 0o7777 }

// xattr is what the names of extended attributes have before them in an archive (as
// GNU tar and libarchive write them).
const xattr = "SCHILY.xattr."

// give hands a file or a directory over. The order matters: a change of the owner
// takes the set-user-ID bit and the capabilities away.
func (u *unpacker) give(f *os.File, h *tar.Header) error {
	if u.plain {
		return nil
	}
	if err := (owner{uid: h.Uid, gid: h.Gid, mode: mode(h)}).give(f); err != nil {
		return err
	}
	for name, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(name, xattr)
		if !ok {
			continue
		}
		err := unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			u.lost(name)
			continue
		}
		if err != nil {
			return fmt.Errorf("set the attribute %s: %w", name, err)
		}
	}
	return nil
}

// lost says, once, that the file system does not keep an attribute.
func (u *unpacker) lost(name string) {
	if !u.told {
		u.env.logf("%s keeps no attributes such as %s; they are lost", u.in.kind, name)
		u.told = true
	}
}

func setTime(dir int, name string, at time.Time) error {
	return unix.UtimesNanoAt(dir, name, times(at), unix.AT_SYMLINK_NOFOLLOW)
}

// times are those of the last access and the last change.
func times(at time.Time) []unix.Timespec {
	ts := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	return []unix.Timespec{ts, ts}
}

// setTimes gives the directories their times, now that nothing is made in them any
// more.
func (u *unpacker) setTimes() error {
	for _, d := range slices.Backward(u.times) {
		fd, err := u.in.openHow(d.name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			continue // something else has taken its place
		}
		err = unix.UtimesNanoAt(fd, "", times(d.at), unix.AT_EMPTY_PATH)
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}
