package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/signature"
)

// How a disk is erased, the value of WIPE_METHOD.
const (
	wipeAuto       = "auto"           // the strongest that takes no longer than need be
	wipeFormat     = "format"         // NVMe: the disk erases all user data itself
	wipeSanitize   = "sanitize"       // NVMe: also what it has set aside and cannot be addressed
	wipeSecure     = "secure-discard" // the disk forgets all blocks, and their copies
	wipeDiscard    = "discard"        // the disk forgets all blocks; it does not promise how
	wipeZero       = "zero"           // all blocks read as zeros afterwards, in whatever way is quick
	wipeOverwrite  = "overwrite"      // zeros are written to every block
	wipeSignatures = "signatures"     // only what tells what is on the disk
)

var wipeMethods = []string{wipeAuto, wipeFormat, wipeSanitize, wipeSecure, wipeDiscard, wipeZero, wipeOverwrite, wipeSignatures}

// wipe erases one disk, or with the name disk-wipe and no DEST_DISK every disk that
// is not removable. Whatever the method, nothing is recognised on the disk when it
// ends; and one that is cut short neither boots nor is a member of anything.
func wipe(ctx context.Context, env *Env) error {
	device, err := env.must("DEST_DISK")
	if err != nil {
		return err
	}
	return wipeDisks(ctx, env, []string{device})
}

func diskWipe(ctx context.Context, env *Env) error {
	if env.Vars["DEST_DISK"] != "" {
		return wipe(ctx, env)
	}
	devices, err := fixedDisks(env)
	if err != nil {
		return err
	}
	return wipeDisks(ctx, env, devices)
}

// fixedDisks are the disks that are not removable, and not made of others.
func fixedDisks(env *Env) (devices []string, err error) {
	entries, err := os.ReadDir(env.path("/sys/block"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		dir := env.path("/sys/block/" + name)
		if !IsDisk(name) || text(dir, "removable") == "1" || text(dir, "size") == "0" || text(dir, "hidden") == "1" {
			continue
		}
		devices = append(devices, "/dev/"+strings.ReplaceAll(name, "!", "/"))
	}
	if devices == nil {
		return nil, errors.New("the machine has no disk to wipe")
	}
	return devices, nil
}

// IsDisk reports whether a name of /sys/block is that of a disk: not one that is made
// of others, or has no medium of its own.
func IsDisk(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	// eMMC boot and replay-protected areas are no place for a system.
	return !strings.HasPrefix(name, "mmcblk") || !strings.Contains(name, "boot") && !strings.Contains(name, "rpmb")
}

// wipeDisks erases disks one after the other, once it is known that each may be.
func wipeDisks(ctx context.Context, env *Env, devices []string) error {
	method := env.text("WIPE_METHOD", wipeAuto)
	if !slices.Contains(wipeMethods, method) {
		return fmt.Errorf("WIPE_METHOD is %q; want one of %s", method, strings.Join(wipeMethods, ", "))
	}
	var disks []*eraser
	var ways []way
	defer func() {
		for _, d := range disks {
			_ = d.Close()
		}
	}()
	for _, device := range devices {
		d, err := openEraser(env, device)
		if err != nil {
			return err
		}
		disks = append(disks, d)
		w, err := d.way(method)
		if err != nil {
			return fmt.Errorf("wipe %s (%s): %w; nothing was changed", d.device, d.name, err)
		}
		ways = append(ways, w)
		if err := env.writing(device); err != nil {
			return err
		}
	}
	for i, d := range disks {
		if err := d.erase(ctx, ways[i], method); err != nil {
			return fmt.Errorf("wipe %s (%s): %w", d.device, d.name, err)
		}
	}
	return nil
}

// eraser is a disk that is erased.
type eraser struct{ *target }

func openEraser(env *Env, device string) (*eraser, error) {
	t, err := openTarget(env, device)
	if err != nil {
		return nil, err
	}
	t.head = nil // nothing is held back
	return &eraser{t}, nil
}

// erase erases the disk. What makes it something is erased first, so that it is
// nothing from then on, and once more afterwards, for not every method leaves zeros.
func (d *eraser) erase(ctx context.Context, w way, method string) error {
	if err := d.forget(ctx); err != nil {
		return err
	}
	if err := d.by(ctx, w, method); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	d.reread()
	d.env.logf("wiped %s (%s) by %s", d.device, d.name, w.name)
	return nil
}

// by erases the disk in one way. Where that was ours to choose, and the disk itself
// refuses what it said it could do, we write.
func (d *eraser) by(ctx context.Context, w way, method string) error {
	if w.do == nil {
		return nil
	}
	d.env.logf("erasing %s (%s) by %s", d.device, d.name, w.name)
	d.env.report(Progress{Stage: "wipe", Total: d.size})
	err := w.do(ctx)
	if err != nil && ctx.Err() == nil && method == wipeAuto && w.itself {
		d.env.logf("%s: %v; overwriting it instead", w.name, err)
		err = d.overwrite(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	return d.forget(ctx)
}

// forget erases every magic number, of the disk and of its partitions, and both ends
// of it.
func (d *eraser) forget(ctx context.Context) error {
	found, err := signature.Examine(d, d.size)
	if err != nil {
		d.env.logf("what is on %s could not be read everywhere: %v", d.device, err)
	}
	for _, s := range found.Whole {
		if err := d.unmark(ctx, 0, s); err != nil {
			return err
		}
	}
	for _, p := range found.Parts {
		for _, s := range p.Found {
			if err := d.unmark(ctx, p.Start, s); err != nil {
				return err
			}
		}
	}
	return d.blank(ctx)
}

// unmark zeroes the sectors that a signature is recognised by, counted from base.
func (d *eraser) unmark(ctx context.Context, base int64, s signature.Signature) error {
	for _, m := range s.Magic {
		from := (base + m.Offset) / d.sector * d.sector
		if err := d.zeroDisk(ctx, from, roundUp(base+m.Offset+m.Length, d.sector)-from); err != nil {
			return err
		}
	}
	return nil
}

// check makes sure that nothing is recognised any more.
func (d *eraser) check() error {
	if err := d.sync(); err != nil {
		return err
	}
	left, err := signature.Examine(d, d.size)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	for _, s := range left.Whole {
		if s.Kind != signature.Data {
			return fmt.Errorf("%s is still on it: the disk did not do what it was told", s.Type)
		}
	}
	return nil
}

// reread lets the kernel forget the partitions.
func (d *eraser) reread() {
	if err := ioctl(d.file, unix.BLKRRPART, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		d.env.logf("the kernel keeps the old partitions of %s: %v", d.device, err)
	}
}

// way is one way of erasing.
type way struct {
	name   string
	do     func(context.Context) error // nil: erasing the signatures was all
	itself bool                        // the disk does it
}

// way is how the disk is erased by a method, or why it cannot be.
func (d *eraser) way(method string) (way, error) {
	nvme, nvmeErr := d.nvme()
	ways := map[string]func() (way, error){
		wipeFormat:    func() (way, error) { return nvme.format, cmpErr(nvmeErr, nvme.formatErr) },
		wipeSanitize:  func() (way, error) { return nvme.sanitize, cmpErr(nvmeErr, nvme.sanitizeErr) },
		wipeSecure:    func() (way, error) { return d.discard("secure discard", "secure_erase", unix.BLKSECDISCARD) },
		wipeDiscard:   func() (way, error) { return d.discard("discard", "discard_max_bytes", unix.BLKDISCARD) },
		wipeZero:      func() (way, error) { return way{name: "zeros", do: d.zeroAll}, nil },
		wipeOverwrite: func() (way, error) { return way{name: "overwriting with zeros", do: d.overwrite}, nil },
		wipeSignatures: func() (way, error) {
			return way{name: "its signatures"}, nil
		},
	}
	if method != wipeAuto {
		return ways[method]()
	}
	for _, m := range []string{wipeFormat, wipeSecure} {
		if w, err := ways[m](); err == nil {
			return w, nil
		}
	}
	if text(d.sys, "queue/rotational") == "1" {
		return ways[wipeOverwrite]()
	}
	return ways[wipeZero]()
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// discard lets the disk forget its blocks, in steps that can be called back.
// attribute is what sysfs calls how many bytes that takes at once; "0" is never.
func (d *eraser) discard(name, attribute string, request uint) (way, error) {
	if attribute == "secure_erase" {
		// There is no attribute for this one: ask about no bytes at all.
		if err := ioctlRange(d.file, request, 0, 0); errors.Is(err, unix.EOPNOTSUPP) {
			return way{}, errors.New("the disk knows no secure discard")
		}
	} else if most := text(d.sys, "queue", attribute); most == "" || most == "0" {
		return way{}, errors.New("the disk knows no discard")
	}
	return way{name: name, itself: true, do: func(ctx context.Context) error {
		return d.steps(ctx, "discard", func(off, n int64) error { return ioctlRange(d.file, request, off, n) })
	}}, nil
}

// zeroAll makes all of the disk read as zeros.
func (d *eraser) zeroAll(ctx context.Context) error {
	return d.steps(ctx, "zero", d.zeroStep)
}

// overwrite writes zeros to every block.
func (d *eraser) overwrite(ctx context.Context) error {
	zeros, err := newBuffer(headSize)
	if err != nil {
		return err
	}
	defer zeros.free()
	return d.steps(ctx, "overwrite", func(off, n int64) error {
		for ; n > 0 && ctx.Err() == nil; off, n = off+headSize, n-headSize {
			if _, err := d.file.WriteAt(zeros[:min(n, headSize)], off); err != nil {
				return cause(err)
			}
		}
		return nil
	})
}

// wipeStep is how much is wiped at once: more than [zeroStep], as nothing else waits for
// the disk.
const wipeStep = 128 << 20

// steps does something to all of the disk, a part at a time.
func (d *eraser) steps(ctx context.Context, stage string, do func(off, n int64) error) error {
	for off := int64(0); off < d.size; off += wipeStep {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(wipeStep, d.size-off)
		if err := do(off, n); err != nil {
			return fmt.Errorf("%d bytes at %d: %w", n, off, cause(err))
		}
		d.env.report(Progress{Stage: stage, Done: min(off+wipeStep, d.size), Total: d.size, Written: min(off+wipeStep, d.size)})
	}
	return context.Cause(ctx)
}
