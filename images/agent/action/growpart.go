package action

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/partition"
	"dragonfly/images/agent/signature"
)

// growpart gives the last partition of a disk the room behind it, and the file
// system on it too, where that is ext4, XFS or btrfs. It is for images that do not do
// so themselves when they first start, as those with cloud-init do. The seed that
// cidataio has put at the end stays there, and the partition before it grows.
func growpart(ctx context.Context, env *Env) error {
	device, err := env.must("DEST_DISK")
	if err != nil {
		return err
	}
	p, gained, err := growTable(ctx, env, device)
	if err != nil {
		return fmt.Errorf("grow the last partition of %s: %w", device, err)
	}
	env.logf("partition %d of %s has %s, %s more than before", p.Number, device, exact(p.Size), exact(gained))
	disk, err := env.node(ctx, device)
	if err != nil {
		return err
	}
	return growFileSystem(env, device, partNode(disk, fmt.Sprint(p.Number)))
}

// growTable grows the partition in the table, and lets the kernel know.
func growTable(ctx context.Context, env *Env, device string) (p partition.Partition, gained int64, err error) {
	node, err := env.node(ctx, device)
	if err != nil {
		return p, 0, err
	}
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return p, 0, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return p, 0, err
	}
	sector, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return p, 0, fmt.Errorf("read the size of its sectors: %w", err)
	}
	if err := env.writing(device); err != nil {
		return p, 0, err
	}
	p, gained, err = partition.Grow(f, size, int64(sector), func(p partition.Partition) bool { return isSeed(f, p) })
	if err == nil {
		err = f.Sync()
	}
	if err == nil && gained > 0 {
		err = tell(f, node, p)
	}
	return p, gained, err
}

// tell lets the kernel know how large a partition is now. It takes our word for it,
// also while something on the disk is in use.
func tell(disk *os.File, node string, p partition.Partition) error {
	err := blkpg(int(disk.Fd()), unix.BLKPG_RESIZE_PARTITION, p)
	if errors.Is(err, unix.ENXIO) { // it did not know of it
		err = blkpg(int(disk.Fd()), unix.BLKPG_ADD_PARTITION, p)
	}
	if err != nil {
		return fmt.Errorf("tell the kernel how large partition %d is: %w", p.Number, err)
	}
	return awaitSize(partNode(node, fmt.Sprint(p.Number)), p.Size)
}

// awaitSize waits until the node of a partition is there, with the size that it has
// now.
func awaitSize(node string, want int64) error {
	for deadline := time.Now().Add(deviceFor); ; time.Sleep(50 * time.Millisecond) {
		size := int64(-1)
		if f, err := os.Open(node); err == nil {
			size, _ = f.Seek(0, io.SeekEnd)
			_ = f.Close()
		}
		if size == want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has %d bytes to the kernel, and %d in the table", filepath.Base(node), size, want)
		}
	}
}

// growFileSystem grows what is on a partition to all of it. The kernel does it while
// the file system is mounted.
func growFileSystem(env *Env, device, node string) error {
	f, err := os.Open(node)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	var found []signature.Signature
	if err == nil {
		found, err = signature.Probe(f, size)
	}
	_ = f.Close()
	if err != nil {
		return err
	}
	for _, s := range found {
		grow, ok := growers[s.Type]
		if !ok {
			continue
		}
		v, err := env.mountNode(device, node, s.Type, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
		if err != nil {
			return err
		}
		if err := v.grow(grow, size); err != nil {
			return errors.Join(fmt.Errorf("grow the %s on %s: %w", s.Type, filepath.Base(node), err), v.close())
		}
		env.logf("the %s on %s reaches to the end of it", s.Type, filepath.Base(node))
		return v.close()
	}
	env.logf("there is no file system on %s that can grow; what is on it stays as it is", filepath.Base(node))
	return nil
}

// growers grow file systems to that many bytes, by the root directory.
var growers = map[string]func(root *os.File, size int64) error{"ext4": growExt4, "xfs": growXFS, "btrfs": growBtrfs}

func (v *volume) grow(grow func(*os.File, int64) error, size int64) error {
	root, err := os.Open(v.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return grow(root, size)
}

// growExt4 is EXT4_IOC_RESIZE_FS, with the number of blocks.
func growExt4(root *os.File, size int64) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(root.Fd()), &s); err != nil {
		return err
	}
	blocks := uint64(size / s.Bsize)
	return ioctl(root, 0x40086610, uintptr(unsafe.Pointer(&blocks)))
}

// growXFS is XFS_IOC_FSGROWFSDATA, with the number of blocks; what share of them
// inodes may have is to stay, and is asked for (XFS_IOC_FSGEOMETRY_V1).
func growXFS(root *os.File, size int64) error {
	geometry := make([]byte, 112)
	if err := ioctl(root, 0x80705864, uintptr(unsafe.Pointer(&geometry[0]))); err != nil {
		return err
	}
	ne := binary.NativeEndian
	block, inodes, now := ne.Uint32(geometry), ne.Uint32(geometry[28:]), ne.Uint64(geometry[32:])
	wanted := uint64(size) / uint64(block)
	if wanted <= now {
		return nil
	}
	request := make([]byte, 16)
	ne.PutUint64(request, wanted)
	ne.PutUint32(request[8:], inodes)
	return ioctl(root, 0x4010586e, uintptr(unsafe.Pointer(&request[0])))
}

// growBtrfs is BTRFS_IOC_RESIZE: a descriptor, and a text.
func growBtrfs(root *os.File, _ int64) error {
	request := make([]byte, 4096)
	copy(request[8:], "max")
	return ioctl(root, 0x50009403, uintptr(unsafe.Pointer(&request[0])))
}
