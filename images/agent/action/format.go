package action

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const formatSwap = "swap"

// makers are the tools that make file systems, with the options that they always
// have.
var makers = map[string][]string{
	"ext2": {"mke2fs", "-q", "-F", "-t", "ext2"}, "ext3": {"mke2fs", "-q", "-F", "-t", "ext3"}, "ext4": {"mke2fs", "-q", "-F", "-t", "ext4"},
	"xfs": {"mkfs.xfs", "-q", "-f"}, "btrfs": {"mkfs.btrfs", "-q", "-f"}, "vfat": {"mkfs.fat"}, formatSwap: nil,
}

func formats() []string { return slices.Sorted(maps.Keys(makers)) }

// format makes the file systems, each anew.
func (l layout) format(ctx context.Context, env *Env) error {
	nodes, err := l.fileSystems(ctx, env)
	if err != nil {
		return err
	}
	for i, f := range l.FileSystems {
		m := f.Mount
		if m.Format == formatSwap {
			err = makeSwap(nodes[i], m.Create.Options)
		} else {
			maker := makers[m.Format]
			err = env.tool(ctx, maker[0], slices.Concat(maker[1:], m.Create.Options, nodes[i:i+1])...)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Device, err)
		}
		env.logf("%s is %s", m.Device, m.Format)
	}
	return nil
}

// fileSystems are the nodes of the devices that get a file system. Each is there, and
// may be written; and so are the tools.
func (l layout) fileSystems(ctx context.Context, env *Env) (nodes []string, err error) {
	if len(l.FileSystems) == 0 {
		return nil, errors.New("the layout has no filesystems")
	}
	var names []string
	for _, f := range l.FileSystems {
		names = append(names, f.Mount.Device)
		if f.Mount.Format == formatSwap {
			if _, err := swapLabel(f.Mount.Create.Options); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Mount.Device, err)
			}
		} else if _, err := env.toolbox(ctx); err != nil {
			return nil, err
		}
	}
	if err := devicesOnce(names); err != nil {
		return nil, err
	}
	if nodes, err = env.nodes(ctx, names); err != nil {
		return nil, err
	}
	if err := env.release(); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := env.writing(name); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// swapLabel reads the options of swap space: -L and a label, or none.
func swapLabel(options []string) (string, error) {
	switch {
	case len(options) == 0:
		return "", nil
	case len(options) == 2 && options[0] == "-L" && len(options[1]) < 16:
		return options[1], nil
	}
	return "", fmt.Errorf("options %q of swap; want -L and a label of at most 15 bytes, or none", options)
}

// makeSwap writes the header of swap space (include/linux/swap.h, union swap_header).
func makeSwap(node string, options []string) error {
	label, err := swapLabel(options)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(node, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	page := int64(os.Getpagesize())
	if size < 10*page {
		return fmt.Errorf("it has %s, which is too small for swap space", exact(size))
	}
	head := make([]byte, min(size/page*page, headSize)) // what else was there is gone
	binary.NativeEndian.PutUint32(head[1024:], 1)
	binary.NativeEndian.PutUint32(head[1028:], uint32(min(size/page, 1<<32)-1))
	id := head[1036:1052]
	_, _ = rand.Read(id)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a random UUID, RFC 9562 section 5.4
	copy(head[1052:1068], label)
	copy(head[page-10:], "SWAPSPACE2")
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	return f.Sync()
}

// mountsAt is where rootio's mount leaves file systems mounted.
const mountsAt = "/run/rootio"

// mount mounts the file systems where they will be mounted by the system that is
// installed: / first, and the others in it. They stay for the actions that come
// later: what runs in the root file system finds the others at their places.
func (l layout) mount(ctx context.Context, env *Env) error {
	var volumes []layoutVolume
	for _, f := range l.FileSystems {
		if f.Mount.Point != "" && f.Mount.Format != formatSwap {
			volumes = append(volumes, f)
		}
	}
	slices.SortFunc(volumes, func(a, b layoutVolume) int { return strings.Compare(a.Mount.Point, b.Mount.Point) })
	if len(volumes) == 0 || volumes[0].Mount.Point != "/" {
		return errors.New("the layout has no filesystem with the point /")
	}
	names := make([]string, 0, len(volumes))
	for _, f := range volumes {
		names = append(names, f.Mount.Device)
	}
	nodes, err := env.nodes(ctx, names)
	if err == nil {
		err = env.release()
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := env.writing(name); err != nil {
			return err
		}
	}
	for i, f := range volumes {
		if err := env.mountBelow(f, nodes[i]); err != nil {
			return errors.Join(fmt.Errorf("mount %s on %s: %w", f.Mount.Device, f.Mount.Point, err), env.release())
		}
		env.logf("%s is mounted on %s", f.Mount.Device, f.Mount.Point)
	}
	return nil
}

// mountBelow mounts a file system at its point below [mountsAt]. No link in the file
// systems leads out of there.
func (e *Env) mountBelow(f layoutVolume, node string) error {
	base := e.path(mountsAt)
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	found, err := fileSystemOn(node)
	if err != nil {
		return err
	}
	e.need(Modules(found)...)
	root, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	v := &volume{env: e, device: f.Mount.Device, dir: base, root: root}
	if err := v.mkdirs(f.Mount.Point, owner{mode: 0o755}); err != nil {
		return err
	}
	place, err := v.openHow(f.Mount.Point, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(place) }()
	return unix.Mount(node, descriptor(place), found, 0, "")
}

// mounted are the places below [mountsAt] where something is mounted, / first.
func (e *Env) mounted() (points []string) {
	base := e.path(mountsAt)
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // 36 35 98:0 /root /mnt ...
		if len(fields) < 5 {
			continue
		}
		if point, ok := strings.CutPrefix(fields[4], base); ok && (point == "" || point[0] == '/') {
			points = append(points, "/"+strings.TrimPrefix(point, "/"))
		}
	}
	return points
}

// release unmounts what rootio has left mounted.
func (e *Env) release() error {
	points := e.mounted()
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(e.path(mountsAt+point), unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// Release unmounts what actions have left mounted for each other. It is to be called
// before the machine restarts.
func Release() error { return (&Env{}).release() }

// others mounts in the root file system what rootio has mounted in it too.
func (c *chroot) others() error {
	points := c.env.mounted()
	if len(points) == 0 {
		return nil
	}
	var ours, theirs unix.Stat_t
	base := c.env.path(mountsAt)
	if err := errors.Join(unix.Stat(c.dir, &ours), unix.Stat(base, &theirs)); err != nil {
		return err
	}
	if ours.Dev != theirs.Dev { // the root of another system
		return nil
	}
	for _, point := range points[1:] {
		if err := c.add(base+point, point, "", unix.MS_BIND); err != nil {
			return fmt.Errorf("mount %s in %s: %w", point, c.device, err)
		}
	}
	return nil
}
