package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/action"
	"dragonfly/images/packed"
	"dragonfly/registry"
)

// host is the real machine behind the function values of a [Config].
type host struct {
	root    tree
	log     *slog.Logger
	modules *Modules      // nil when the image has none
	late    chan struct{} // [Config.Late]
}

// newHost reads the index of the modules. A machine whose kernel has all drivers
// built in works without one.
func newHost(root tree, log *slog.Logger) *host {
	h := &host{root: root, log: log, late: make(chan struct{}, 1)}
	dir := path.Join("/lib/modules", release())
	unpack := sync.OnceValue(func() error { return unpackDrivers(log, "/") })
	modules, err := NewModules(os.DirFS(dir), func(file string) error {
		err := insertModule(log, path.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			if err := unpack(); err != nil {
				return err
			}
			err = insertModule(log, path.Join(dir, file))
		}
		return err
	})
	if err != nil {
		log.Warn("no modules", "err", err)
		return h
	}
	h.modules = modules
	return h
}

// unpackDrivers unpacks the drivers and firmware that are packed in the image, and
// frees the memory of the archive.
func unpackDrivers(log *slog.Logger, root string) error {
	name := path.Join(root, packed.Drivers)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	started := Uptime()
	if err := packed.Unpack(f, root); err != nil {
		return err
	}
	log.Info("unpacked the drivers of servers", "took", Uptime()-started)
	return os.Remove(name)
}

// serve fills in the parts of cfg that need the real machine.
func (h *host) serve(cfg *Config) {
	cfg.Devices, cfg.Late = h.devices, h.late
	cfg.Network = (&network{root: h.root, log: h.log, boot: cfg.Boot.MAC, resolvers: resolvers{file: "/etc/resolv.conf"}}).run
	cfg.Hardware = h.hardware
	cfg.BootID = h.root.text("proc/sys/kernel/random/boot_id")
	cfg.Action, cfg.Disk, cfg.Need = action.Lookup, h.disk, h.need
	cfg.Tools, cfg.Release = h.tools(cfg.Boot), action.Release
	cfg.Mark, cfg.BootEntry = markDisk, h.bootEntry
	cfg.LinkDisks = func() error { return linkDisks(h.root, "/dev/disk/by-id") }
}

// tools are the programs that this image was built with and does not have in it; the
// server that it was booted from has them.
func (h *host) tools(boot Boot) *action.Toolbox {
	sum := h.root.text(packed.Tools)
	if sum == "" || boot.URL == "" {
		return nil
	}
	return &action.Toolbox{URL: fmt.Sprintf("%s/boot/%s/tools-%s.tar.zst", boot.URL, runtime.GOARCH, sum), SHA256: sum, Dir: "/run/tools"}
}

// disk is the kernel's name of the disk that a device is, or is a part of.
func (h *host) disk(device string) (string, error) {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return "", err
	}
	return wholeDisk(h.root, filepath.Base(real))
}

// wholeDisk follows a partition to its disk, and an array or a logical volume to the
// one that all of it is on.
func wholeDisk(root tree, name string) (disk string, err error) {
	at := root.link("sys/class/block", name)
	switch {
	case at == "":
		return "", fmt.Errorf("%s is no block device", name)
	case root.text("sys/class/block", name, "partition") != "":
		return path.Base(path.Dir(at)), nil
	}
	for _, slave := range root.names("sys/class/block", name, "slaves") {
		below, err := wholeDisk(root, slave)
		if err != nil {
			return "", err
		}
		if disk != "" && disk != below {
			return "", fmt.Errorf("%s is on several disks, %s and %s", name, disk, below)
		}
		disk = below
	}
	return cmp.Or(disk, name), nil
}

// devices loads the drivers and returns when the devices have come to rest; it
// goes on with those that come later until ctx ends.
func (h *host) devices(ctx context.Context, wg *sync.WaitGroup) {
	if h.root.exists("sys/firmware/efi") {
		wg.Go(h.efi)
	}
	if h.modules == nil {
		return
	}
	events := make(chan uevent, 256)
	if f, err := openUevents(); err != nil {
		h.log.Warn("devices that come late stay unseen", "err", err)
	} else {
		wg.Go(func() { readUevents(ctx, f, events) })
	}
	d := &drivers{root: h.root, load: h.modules.Load, events: events, log: h.log, settled: make(chan struct{}), late: h.late}
	wg.Go(func() { d.run(ctx) })
	select {
	case <-d.settled:
	case <-ctx.Done():
	}
}

// efi makes the firmware's variables readable, before the inventory asks.
func (h *host) efi() {
	h.need("efivarfs")
	if err := mountEFI(unix.Mount); err != nil {
		h.log.Warn("the firmware's variables stay unread", "err", err)
	}
}

// need loads a module by name or alias that no device asks for. One that is
// built into the kernel is not in the index, which is fine.
func (h *host) need(names ...string) {
	if h.modules == nil {
		return
	}
	for _, name := range names {
		if _, err := h.modules.Load(name); err != nil {
			h.log.Warn("load a module", "module", name, "err", err)
		}
	}
}

// How long the slow parts of an inventory may take: a management controller that
// does not answer, and disks that hang.
const (
	bmcFor  = 3 * time.Second
	diskFor = 5 * time.Second // each, all side by side
	osFor   = 5 * time.Second
)

// hardware is the whole inventory, with what needs more than reading.
func (h *host) hardware(ctx context.Context) registry.Hardware {
	hw := Inventory(h.root.FS)
	if err := linkDisks(h.root, "/dev/disk/by-id"); err != nil {
		h.log.Warn("link disks by id", "err", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { hw.BMC = within(ctx, bmcFor, h.bmc) })
	h.lookAt(ctx, hw.Disks)
	wg.Go(func() {
		hw.OSFound = within(ctx, osFor, func(ctx context.Context) []registry.OSFound {
			return h.findOS(ctx, hw.Disks)
		})
	})
	wg.Wait()
	return hw
}

// within is f's answer, or the zero value when it takes longer than limit: a
// system call that hangs in a broken device cannot be called back.
func within[T any](ctx context.Context, limit time.Duration, f func(context.Context) T) T {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer := make(chan T, 1)
	go func() { answer <- f(ctx) }()
	select {
	case v := <-answer:
		return v
	case <-ctx.Done():
		var none T
		return none
	}
}

// linkDisks makes the names of the disks and their partitions under dir, as udev
// would, for the actions that come later.
func linkDisks(t tree, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range t.names("sys/block") {
		if !isDisk(t, name) {
			continue
		}
		for _, link := range identify(t, name).Links() {
			if err := symlink("../../"+name, path.Join(dir, link)); err != nil {
				return err
			}
			for part, number := range partitions(t, name) {
				if err := symlink("../../"+part, path.Join(dir, link+"-part"+number)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func symlink(target, name string) error {
	if old, err := os.Readlink(name); err == nil && old == target {
		return nil
	}
	_ = os.Remove(name)
	return os.Symlink(target, name)
}

// partitions are the names of a disk's partitions with their numbers.
func partitions(t tree, disk string) map[string]string {
	found := map[string]string{}
	for _, part := range t.names("sys/block", disk) {
		if number := t.text("sys/block", disk, part, "partition"); number != "" {
			found[part] = number
		}
	}
	return found
}
