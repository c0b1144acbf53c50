package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/partition"
)

// seal ends the writing of an image that is whole: the second copy of a GPT goes to
// the end of this disk, what was held back of the first MiB is written, the first
// sectors last of all, and the kernel reads the partitions.
func (t *target) seal(ctx context.Context) error {
	if err := t.sync(); err != nil {
		return err
	}
	if err := t.moveBackup(); err != nil {
		return err
	}
	first, err := newBuffer(int64(len(t.head)))
	if err != nil {
		return err
	}
	defer first.free()
	copy(first, t.head)
	cut := min(pageSize, len(t.head))
	if err := errors.Join(t.pwrite(first[cut:len(t.head)], int64(cut)), t.sync()); err != nil {
		return err
	}
	if err := errors.Join(t.pwrite(first[:cut], 0), t.sync()); err != nil {
		return err
	}
	return t.reread(ctx)
}

// moveBackup puts the second copy of a GPT where firmware looks for it.
func (t *target) moveBackup() error {
	moved, err := partition.Relocate(t, t.size, t.sector)
	switch {
	case errors.Is(err, partition.ErrNone):
		t.env.logf("the image has no partition table")
	case errors.Is(err, partition.ErrUnfit):
		t.env.logf("the second copy of the GPT stays where the image has it: %v", err)
	case err != nil:
		return err
	case moved:
		t.env.logf("the second copy of the GPT is at the end of the disk")
	}
	return t.sync()
}

// How long the kernel is asked to read the partitions while something else has one
// of them open.
const (
	rereadFor   = 10 * time.Second
	rereadPause = 100 * time.Millisecond
)

// reread makes the kernel read the partition table. When it returns, the partitions
// are there, and have their names.
func (t *target) reread(ctx context.Context) error {
	for began := time.Now(); ; {
		err := unix.IoctlSetInt(int(t.file.Fd()), unix.BLKRRPART, 0)
		if !errors.Is(err, unix.EBUSY) || time.Since(began) > rereadFor {
			if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: it does not read those of this kind of device
				return fmt.Errorf("have the kernel read the partitions of %s: %w", t.device, err)
			}
			break
		}
		select {
		case <-time.After(rereadPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := t.addMissing(); err != nil {
		return err
	}
	return t.link()
}

// addMissing tells the kernel of the partitions that it does not see: it may have
// been built without support for this kind of table.
func (t *target) addMissing() error {
	table, err := partition.ReadSector(t, t.size, t.sector)
	if errors.Is(err, partition.ErrNone) {
		return nil
	}
	if err != nil {
		t.env.logf("the partition table of %s: %v", t.device, err)
		return nil
	}
	there := map[string]bool{}
	for _, dir := range t.partitions() {
		there[text(dir, "partition")] = true
	}
	for _, p := range table.Parts {
		if there[strconv.Itoa(p.Number)] {
			continue
		}
		if err := blkpg(int(t.file.Fd()), unix.BLKPG_ADD_PARTITION, p); err != nil {
			return fmt.Errorf("tell the kernel of partition %d of %s: %w", p.Number, t.device, err)
		}
	}
	t.env.logf("%s has %d partitions", t.device, len(table.Parts))
	return nil
}

// blkpg tells the kernel of a partition (linux/blkpg.h): op is such as
// BLKPG_ADD_PARTITION.
func blkpg(fd int, op int32, p partition.Partition) error {
	part := struct {
		start, length int64
		number        int32
		names         [64 + 64]byte // not used any more
	}{start: p.Start, length: p.Size, number: int32(p.Number)}
	arg := struct {
		op, flags, size int32
		data            unsafe.Pointer
	}{op: op, size: int32(unsafe.Sizeof(part)), data: unsafe.Pointer(&part)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return errno
	}
	return nil
}

// link gives the partitions their names below /dev/disk, after those of the disk,
// for the actions that follow. Where udev runs, it does.
func (t *target) link() error {
	if _, err := os.Stat(t.env.path("/run/udev/control")); err == nil {
		return nil
	}
	parts := map[string]string{} // device by number
	for _, dir := range t.partitions() {
		parts[text(dir, "partition")] = path.Base(dir)
	}
	links, _ := filepath.Glob(t.env.path("/dev/disk/by-*/*"))
	for _, link := range links {
		name, number, isPart := cutPart(link)
		if file, err := os.Readlink(name); err != nil || path.Base(file) != t.name {
			continue
		}
		if isPart && parts[number] == "" {
			_ = os.Remove(link)
		}
		for number, part := range parts {
			if err := relink("../../"+part, name+"-part"+number); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutPart splits ".../ata-X-part2" into ".../ata-X" and "2".
func cutPart(link string) (disk, number string, ok bool) {
	i := strings.LastIndex(link, "-part")
	if i < 0 || strings.Trim(link[i+len("-part"):], "0123456789") != "" {
		return link, "", false
	}
	return link[:i], link[i+len("-part"):], true
}

func relink(to, name string) error {
	if old, err := os.Readlink(name); err == nil && old == to {
		return nil
	}
	_ = os.Remove(name)
	return os.Symlink(to, name)
}
