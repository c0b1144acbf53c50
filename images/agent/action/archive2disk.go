package action

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/images/magic"
)

// archive2disk unpacks the tar archive at ARCHIVE_URL into the directory DEST_PATH
// of the file system on DEST_DISK while it is fetched. How it is packed is seen by
// how it begins: plain, or with zstd, gzip, xz or bzip2.
func archive2disk(ctx context.Context, env *Env) error {
	a, err := newArchive(env)
	if err != nil {
		return err
	}
	v, err := env.mount(ctx, a.device, a.fsType, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NOATIME)
	if err != nil {
		return err
	}
	if err := a.unpack(ctx, env, v); err != nil {
		return errors.Join(fmt.Errorf("%w; what was unpacked to %s is no use", err, a.device), v.close())
	}
	return v.close()
}

// archive is an archive, and where it is unpacked to.
type archive struct {
	source               *source
	device, fsType, dest string
	sum                  []byte // of the file; nil: not known
	hash                 hash.Hash
}

func newArchive(env *Env) (*archive, error) {
	a := &archive{dest: path.Clean("/" + env.text("DEST_PATH", "/"))}
	address, err := env.must("ARCHIVE_URL")
	for _, v := range []struct {
		value *string
		name  string
	}{{&a.device, "DEST_DISK"}, {&a.fsType, "FS_TYPE"}} {
		if err == nil {
			*v.value, err = env.must(v.name)
		}
	}
	if err != nil {
		return nil, err
	}
	if kind := env.text("ARCHIVE_TYPE", "tar"); !strings.HasPrefix(kind, "tar") && kind != "tgz" {
		return nil, fmt.Errorf("ARCHIVE_TYPE is %q; want tar or targz", kind)
	}
	if a.sum, a.hash, err = checksum("TARFILE_CHECKSUM", env.Vars["TARFILE_CHECKSUM"]); err != nil {
		return nil, err
	}
	if a.source, err = env.newSource(address); err != nil {
		return nil, err
	}
	minutes, err := env.number("HTTP_CLIENT_TIMEOUT_MINUTES", 5)
	a.source.retry.limit = min(a.source.retry.limit, time.Duration(minutes)*time.Minute)
	a.source.summed = a.sum != nil
	return a, err
}

// checksum reads "sha256:HEX" or "sha512:HEX".
func checksum(name, value string) (sum []byte, h hash.Hash, err error) {
	kind, text, _ := strings.Cut(value, ":")
	switch {
	case value == "" || kind == "sha256":
		h = sha256.New()
	case kind == "sha512":
		h = sha512.New()
	default:
		return nil, nil, fmt.Errorf("%s is %q; want sha256: or sha512: and hexadecimal digits", name, value)
	}
	if value == "" {
		return nil, h, nil
	}
	if sum, err = hex.DecodeString(text); err != nil || len(sum) != h.Size() {
		return nil, nil, fmt.Errorf("%s is %q; want %s: and %d hexadecimal digits", name, value, kind, 2*h.Size())
	}
	return sum, h, nil
}

// unpack fetches, unpacks and checks the archive.
func (a *archive) unpack(ctx context.Context, env *Env, v *volume) error {
	m := newMeter(env, a.source, "unpack")
	stop, err := m.start()
	if err != nil {
		return err
	}
	defer stop()
	file := readAhead(ctx, a.source.read(ctx, 0, -1), a.hash)
	defer file.stop()
	head, err := file.peek(magicSize)
	if err != nil {
		return err
	}
	var raw io.Reader = file
	if how := magic.PackingOf(head); how != "" {
		opened, closeRaw, err := openPacked(how, file)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", a.source, whole(err))
		}
		defer closeRaw()
		raw = opened
	}
	end := &lastBytes{Reader: raw}
	u, err := newUnpacker(env, v, a.dest)
	if err != nil {
		return err
	}
	defer u.close()
	u.written = &m.written
	if err := u.all(ctx, tar.NewReader(end)); err != nil {
		return fmt.Errorf("unpack %s: %w", a.source, err)
	}
	return a.check(end, file, v)
}

// check reads what is left, so that every checksum on the way is seen, and flushes.
func (a *archive) check(end *lastBytes, file *ahead, v *volume) error {
	if _, err := io.Copy(io.Discard, end); err != nil {
		return fmt.Errorf("unpack %s: %w", a.source, err)
	}
	sum, err := file.rest()
	switch {
	case err != nil:
		return err
	case a.sum != nil && !bytes.Equal(sum, a.sum):
		return fmt.Errorf("the checksum of %s is %x, and should be %x", a.source, sum, a.sum)
	case a.sum == nil && !end.zeros():
		return fmt.Errorf("%s does not end as a tar archive does, with zeros; it may be cut", a.source)
	}
	// An error of writing back is told here, and not when it is unmounted.
	if err := unix.Syncfs(v.root); err != nil && !errors.Is(err, unix.EBADF) {
		return fmt.Errorf("flush %s: %w", a.device, err)
	}
	return nil
}

// lastBytes remembers the last bytes that were read.
type lastBytes struct {
	io.Reader
	read int64
	last [512]byte
}

func (l *lastBytes) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	l.read += int64(n)
	if n >= len(l.last) {
		copy(l.last[:], p[n-len(l.last):n])
	} else if n > 0 {
		copy(l.last[:], l.last[n:])
		copy(l.last[len(l.last)-n:], p[:n])
	}
	return n, err
}

// zeros reports whether the last block is the end mark of an archive.
func (l *lastBytes) zeros() bool { return l.read >= int64(len(l.last)) && l.last == [512]byte{} }
