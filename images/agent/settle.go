package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"dragonfly/images/agent/action"
	"dragonfly/images/agent/signature"
	"dragonfly/registry"
)

// installs reports whether the deployment has put something on the disk, or has
// begun to.
func (j *job) installs(device string) bool {
	return j.wrote && device != "" && j.work.Kind != registry.KindWipe
}

// mark leaves Dragonfly's mark on the disk that the deployment has begun to change,
// so that the next one finds it to be this machine's. A disk without a partition
// table has no room for it, as after an image that did not arrive whole; that is
// said once.
func (j *job) mark(device string) {
	if !j.installs(device) {
		return
	}
	if err := j.Mark(device, j.machine, j.work.Deployment); err != nil && !j.unmarked {
		j.unmarked = true
		j.told.log(fmt.Sprintf("%s does not say whom it belongs to; the next deployment to it will be asked about: %v", device, err))
	}
}

// bootable tells UEFI firmware what was installed. Without an entry of its own the
// disk may still boot, by the one that firmware makes; so this is no failure.
func (j *job) bootable(ctx context.Context, device string) {
	if !j.installs(device) {
		return
	}
	if err := j.BootEntry(ctx, device, j.told.log); err != nil {
		j.told.log(fmt.Sprintf("the firmware has no boot entry for what was installed: %v", err))
	}
}

// nodeOf is the node of a disk, by the kernel's name of it, where "!" stands for "/".
func nodeOf(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }

// markDisk writes the mark to a disk, by the kernel's name of it.
func markDisk(name, machine, deployment string) error {
	f, err := os.OpenFile(nodeOf(name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of %s: %w", name, err)
	}
	if err := signature.WriteMark(f, size, machine, deployment); err != nil {
		return err
	}
	return f.Sync()
}

// bootEntry is [action.EFIBoot] for a disk, by the kernel's name of it.
func (h *host) bootEntry(ctx context.Context, name string, log func(line string)) error {
	return action.EFIBoot(ctx, &action.Env{Need: h.need, Log: log}, nodeOf(name))
}
