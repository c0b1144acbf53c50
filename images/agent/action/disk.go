package action

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// target is a whole disk that gets an image.
//
// Until the image is whole the disk has no partition table: its first MiB is held
// back in memory and written last, by [target.seal], so that what is cut short, by
// an error, a cancel or a power failure, does not boot and is not mistaken for what
// it should have become.
//
// Data goes past the page cache (O_DIRECT): copying it through costs more than
// decoding it.
type target struct {
	env    *Env
	device string   // as the action names it
	name   string   // as the kernel does, such as sda
	sys    string   // its directory in sysfs
	file   *os.File // O_DIRECT; claimed (O_EXCL): nobody mounts it meanwhile
	size   int64
	sector int64  // logical
	head   []byte // what the first MiB will be
	begun  bool
	zeroes atomic.Int32 // index into the ways of zeroing that may still work
}

const (
	headSize = 1 << 20
	// pageSize is what the memory of direct I/O is aligned to, and more than the
	// sector of every disk.
	pageSize = 4096
)

// openTarget opens a disk to be written, after all that can be known before about
// whether it may be. It changes nothing.
func openTarget(env *Env, device string) (*target, error) {
	t := &target{env: env, device: device}
	if err := t.find(); err != nil {
		return nil, err
	}
	if err := t.free(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(t.node(), os.O_RDWR|os.O_EXCL|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s (%s) is in use", device, t.name)
	}
	if err != nil {
		return nil, err
	}
	t.file = f
	if err := t.measure(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s (%s): %w", device, t.name, err)
	}
	t.head = make([]byte, min(headSize, t.size))
	return t, nil
}

// node is the path of the device.
func (t *target) node() string { return t.env.path("/dev/" + strings.ReplaceAll(t.name, "!", "/")) }

// find finds the disk that a path names, and that it is a whole one.
func (t *target) find() error {
	file, err := filepath.EvalSymlinks(t.env.path(t.device))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no disk %s; the machine has %s", t.device, t.others())
	}
	if err != nil {
		return err
	}
	number, err := blockNumber(file)
	if err != nil {
		return fmt.Errorf("%s is no disk: %w", t.device, err)
	}
	if t.sys, err = filepath.EvalSymlinks(t.env.path("/sys/dev/block/" + number)); err != nil {
		return fmt.Errorf("%s: %w", t.device, err)
	}
	t.name = path.Base(t.sys)
	if _, err := os.Stat(path.Join(t.sys, "partition")); err == nil {
		return fmt.Errorf("%s is a partition of %s; an image takes a whole disk", t.device, path.Base(path.Dir(t.sys)))
	}
	if text(t.sys, "ro") == "1" {
		return fmt.Errorf("%s (%s) is read-only", t.device, t.name)
	}
	return nil
}

// others lists the disks that are there.
func (t *target) others() string {
	var names []string
	entries, _ := os.ReadDir(t.env.path("/sys/block"))
	for _, e := range entries {
		size := text(t.env.path("/sys/block"), e.Name(), "size")
		if size != "" && size != "0" && !strings.HasPrefix(e.Name(), "ram") {
			names = append(names, "/dev/"+strings.ReplaceAll(e.Name(), "!", "/"))
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// blockNumber is the number of a block device, such as "8:0".
func blockNumber(file string) (string, error) {
	var s unix.Stat_t
	if err := unix.Stat(file, &s); err != nil {
		return "", err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", errors.New("it is not a block device")
	}
	return fmt.Sprintf("%d:%d", unix.Major(s.Rdev), unix.Minor(s.Rdev)), nil
}

// free says what uses the disk or one of its partitions.
func (t *target) free() error {
	var used []string
	numbers := map[string]string{}
	for _, dir := range append([]string{t.sys}, t.partitions()...) {
		numbers[text(dir, "dev")] = path.Base(dir)
		holders, _ := os.ReadDir(path.Join(dir, "holders"))
		for _, h := range holders {
			used = append(used, fmt.Sprintf("%s is part of %s", path.Base(dir), h.Name()))
		}
	}
	used = append(used, t.mounts(numbers)...)
	if len(used) == 0 {
		return nil
	}
	return fmt.Errorf("%s (%s) is in use: %s", t.device, t.name, strings.Join(used, ", "))
}

// partitions are the directories of the disk's partitions in sysfs.
func (t *target) partitions() []string {
	found, _ := filepath.Glob(path.Join(t.sys, "*", "partition"))
	for i := range found {
		found[i] = path.Dir(found[i])
	}
	return found
}

// mounts says where devices of these numbers are mounted, or swapped to. What this
// system itself runs from is among them.
func (t *target) mounts(numbers map[string]string) (used []string) {
	mounted, _ := os.ReadFile(t.env.path("/proc/self/mountinfo"))
	for line := range strings.Lines(string(mounted)) {
		// 36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/sda1 rw
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		name, is := numbers[fields[2]]
		if dash := slices.Index(fields, "-"); !is && dash > 0 && len(fields) > dash+2 { // btrfs has numbers of its own
			number, _ := blockNumber(t.env.path(fields[dash+2]))
			name, is = numbers[number]
		}
		if is {
			used = append(used, fmt.Sprintf("%s is mounted on %s", name, fields[4]))
		}
	}
	swaps, _ := os.ReadFile(t.env.path("/proc/swaps"))
	for line := range strings.Lines(string(swaps)) {
		device, _, _ := strings.Cut(line, " ")
		number, _ := blockNumber(t.env.path(device))
		if name, is := numbers[number]; is {
			used = append(used, name+" is swapped to")
		}
	}
	return used
}

// text is the contents of a small file in sysfs; empty where there is none.
func text(elements ...string) string {
	b, _ := os.ReadFile(path.Join(elements...))
	return strings.TrimSpace(string(b))
}

// measure reads the size of the disk and of its sectors.
func (t *target) measure() (err error) {
	sector, err := unix.IoctlGetInt(int(t.file.Fd()), unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("read the size of its sectors: %w", err)
	}
	sectors, err := strconv.ParseInt(text(t.sys, "size"), 10, 64)
	if err != nil {
		return fmt.Errorf("read its size: %w", err)
	}
	t.sector, t.size = int64(sector), sectors*512
	if t.size == 0 {
		return errors.New("it has no medium")
	}
	if t.sector > pageSize {
		return fmt.Errorf("it has sectors of %d bytes; at most %d can be written", t.sector, pageSize)
	}
	return nil
}

// fits says that an image is too large.
func (t *target) fits(size int64) error {
	if size <= t.size {
		return nil
	}
	return fmt.Errorf("the image has %s and %s (%s) only %s", exact(size), t.device, t.name, exact(t.size))
}

// begin takes the disk's partition table and the second copy of it away, after it
// was asked whether the disk may be changed.
func (t *target) begin(ctx context.Context) error {
	if err := t.env.writing(t.device); err != nil {
		return err
	}
	t.begun = true
	return t.blank(ctx)
}

// blank zeroes both ends of the disk, where everything stands by which a disk, a
// member of an array or a file system is recognized.
func (t *target) blank(ctx context.Context) error {
	end := max(0, t.size-headSize) / t.sector * t.sector
	if err := t.zeroDisk(ctx, 0, min(headSize, t.size)); err != nil {
		return err
	}
	if err := t.zeroDisk(ctx, end, t.size-end); err != nil {
		return err
	}
	return t.sync()
}

// spoil makes sure that a disk with a part of an image does not boot.
func (t *target) spoil() error {
	if !t.begun {
		return nil
	}
	return t.blank(context.Background())
}

func (t *target) sync() error {
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("flush %s: %w", t.device, err)
	}
	return nil
}

// Close gives the disk free.
func (t *target) Close() error { return t.file.Close() }

// ReadAt reads what the disk has, or will have once it is sealed.
func (t *target) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(t.head)) {
		if n = copy(p, t.head[off:]); n == len(p) {
			return n, nil
		}
	}
	at, rest := off+int64(n), p[n:]
	from := at / t.sector * t.sector
	b, err := newBuffer(roundUp(at+int64(len(rest)), t.sector) - from)
	if err != nil {
		return n, err
	}
	defer b.free()
	got, err := t.file.ReadAt(b, from)
	n += copy(rest, b[min(int(at-from), got):got])
	if n == len(p) {
		err = nil
	}
	return n, err
}

// WriteAt writes whole sectors from any memory. It is for the few that are written
// one by one; [target.write] is for the many.
func (t *target) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(t.head)) {
		n = copy(t.head[off:], p)
	}
	at, rest := off+int64(n), p[n:]
	if len(rest) == 0 {
		return n, nil
	}
	if at%t.sector != 0 || int64(len(rest))%t.sector != 0 {
		return n, fmt.Errorf("write %d bytes at %d of %s: these are not whole sectors of %d", len(rest), at, t.device, t.sector)
	}
	b, err := newBuffer(int64(len(rest)))
	if err != nil {
		return n, err
	}
	defer b.free()
	copy(b, rest)
	if err := t.pwrite(b[:len(rest)], at); err != nil {
		return n, err
	}
	return len(p), nil
}

// write writes aligned memory; what belongs to the first MiB is held back. Past the
// end of p there must be room for the rest of a sector, which is zeroed.
func (t *target) write(p []byte, off int64) error {
	if off < int64(len(t.head)) {
		n := copy(t.head[off:], p)
		p, off = p[n:], off+int64(n)
	}
	if len(p) == 0 {
		return nil
	}
	whole := roundUp(int64(len(p)), t.sector)
	if whole > int64(len(p)) {
		clear(p[len(p):whole])
		p = p[:whole]
	}
	return t.pwrite(p, off)
}

func (t *target) pwrite(p []byte, off int64) error {
	if _, err := t.file.WriteAt(p, off); err != nil {
		return fmt.Errorf("write %d bytes at %d of %s (%s): %w", len(p), off, t.device, t.name, cause(err))
	}
	return nil
}

// cause is the error of a system call, without the path that who calls names.
func cause(err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		return wrapped.Err
	}
	return err
}

// zero makes a part of the disk read as zeros.
func (t *target) zero(ctx context.Context, off, n int64) error {
	if off < int64(len(t.head)) {
		k := min(n, int64(len(t.head))-off)
		clear(t.head[off : off+k])
		off, n = off+k, n-k
	}
	return t.zeroDisk(ctx, off, roundUp(n, t.sector))
}

// zeroStep is how much is zeroed at once: a disk that cannot forget has it written
// by the kernel, and then cannot be called back. What is written meanwhile waits behind
// it at the disk.
const zeroStep = 16 << 20

func (t *target) zeroDisk(ctx context.Context, off, n int64) error {
	for n > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		step := min(n, zeroStep)
		if err := t.zeroStep(off, step); err != nil {
			return fmt.Errorf("zero %d bytes at %d of %s (%s): %w", step, off, t.device, t.name, cause(err))
		}
		off, n = off+step, n-step
	}
	return nil
}

// zeroStep zeroes in the cheapest way that the disk knows. Each promises zeros:
// BLKDISCARD does not, and a used disk shows what was there. First the disk is to
// forget the blocks, if it says that they read as zeros then (the kernel refuses
// else); next the disk or the kernel is to write zeros; last we do.
func (t *target) zeroStep(off, n int64) error {
	const keep = unix.FALLOC_FL_KEEP_SIZE
	modes := [...]uint32{unix.FALLOC_FL_PUNCH_HOLE | keep, unix.FALLOC_FL_ZERO_RANGE | keep}
	for way := int(t.zeroes.Load()); way < len(modes); way++ {
		mode := modes[way]
		err := ignoringEINTR(func() error { return unix.Fallocate(int(t.file.Fd()), mode, off, n) })
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENODEV) {
			return err
		}
		t.zeroes.CompareAndSwap(int32(way), int32(way)+1)
	}
	zeros, err := newBuffer(min(n, headSize))
	if err != nil {
		return err
	}
	defer zeros.free()
	for n > 0 {
		b := zeros[:min(n, int64(len(zeros)))]
		if _, err := t.file.WriteAt(b, off); err != nil {
			return err
		}
		off, n = off+int64(len(b)), n-int64(len(b))
	}
	return nil
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// buffer is memory for direct I/O: whole pages, outside of the heap, so that the
// collector neither scans it nor lets the heap grow in proportion. They are huge pages
// where the kernel has some: each page costs a fault when it is first touched, and
// pinning whenever it is written.
type buffer []byte

func newBuffer(n int64) (buffer, error) {
	b, err := unix.Mmap(-1, 0, int(roundUp(max(n, 1), pageSize)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("get %d bytes of memory: %w", n, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // not every kernel has them
	return b, nil
}

func (b buffer) free() { _ = unix.Munmap(b[:cap(b)]) }
