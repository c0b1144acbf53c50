package agent

import (
	"context"
	"os"
	"path"
	"sync"

	"dragonfly/images/agent/signature"
	"dragonfly/registry"
)

// maxLooks is how many disks are looked at side by side, each with a MiB of memory.
const maxLooks = 16

// lookAt fills in what is on the disks. Of one that does not answer in time it is
// left open.
func (h *host) lookAt(ctx context.Context, disks []registry.Disk) {
	var wg sync.WaitGroup
	free := make(chan struct{}, maxLooks)
	for i := range disks {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			disk := disks[i]
			found := within(ctx, diskFor, func(context.Context) registry.Disk {
				return h.look(path.Join("/dev", disk.Name), disk)
			})
			if found.Contents == "" {
				h.log.Warn("a disk does not answer; what is on it stays unknown", "disk", disk.Name)
				return
			}
			disks[i].Contents, disks[i].Found = found.Contents, found.Found
		})
	}
	wg.Wait()
}

// look is the disk with what is on it.
func (h *host) look(device string, disk registry.Disk) registry.Disk {
	f, err := os.Open(device)
	if err != nil {
		h.log.Warn("look at a disk", "err", err)
		disk.Contents = registry.Unreadable
		return disk
	}
	defer f.Close()
	d, err := signature.Examine(f, disk.Bytes)
	if err != nil {
		h.log.Warn("look at a disk", "disk", disk.Name, "err", err)
	}
	disk.Contents, disk.Found = d.Report(disk.Name, err)
	return disk
}
