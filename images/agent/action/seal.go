package action

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/partition"
)

// seal ends the writing of an image that is whole: the second copy of a GPT goes to
// the end of this disk, and what was held back of the first MiB is written, the first
// sectors last of all.
func (t *target) seal() error {
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
	for _, part := range []struct{ from, to int }{{cut, len(t.head)}, {0, cut}} {
		if err := t.pwrite(first[part.from:part.to], int64(part.from)); err != nil {
			return err
		}
		if err := t.sync(); err != nil {
			return err
		}
	}
	return nil
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
// are there.
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
	return t.addMissing()
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
