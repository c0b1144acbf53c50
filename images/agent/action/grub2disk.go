package action

import (
	"context"
	"errors"
	"fmt"
)

// grub2disk makes a disk boot on BIOS: in the root file system on GRUB_DISK it runs
// the installed system's own grub-install for the disk GRUB_INSTALL_PATH, and
// grub-mkconfig. On UEFI the firmware's entry is made by [EFIBoot].
func grub2disk(ctx context.Context, env *Env) error {
	disk, diskErr := env.must("GRUB_INSTALL_PATH")
	device, deviceErr := env.must("GRUB_DISK")
	if err := errors.Join(diskErr, deviceErr); err != nil {
		return err
	}
	whole := &target{env: env, device: disk}
	if err := whole.find(); err != nil {
		return fmt.Errorf("GRUB_INSTALL_PATH: %w", err)
	}
	if err := env.writing(disk); err != nil {
		return err
	}
	return env.inside(ctx, device, env.text("FS_TYPE", ""), false, func(c *chroot) error {
		g, err := c.grub()
		if err != nil {
			return err
		}
		if err := c.run(ctx, g.install, "--target="+grubTarget, whole.node()); err != nil {
			return err
		}
		return c.run(ctx, g.configure, "-o", g.config)
	})
}

// grubTarget is GRUB for BIOS, by its name for itself.
const grubTarget = "i386-pc"

// grub is how a distribution names its programs, and the file that they make.
type grub struct{ install, configure, config string }

var grubs = []grub{
	{"grub-install", "grub-mkconfig", "/boot/grub/grub.cfg"},
	{"grub2-install", "grub2-mkconfig", "/boot/grub2/grub.cfg"},
}

// grub finds GRUB in a system.
func (c *chroot) grub() (grub, error) {
	for _, g := range grubs {
		if _, err := c.lookPath(g.install); err != nil {
			continue
		}
		if _, err := c.lookPath(g.configure); err != nil {
			return g, err
		}
		if modules := "/usr/lib/grub/" + grubTarget; len(c.names(modules)) == 0 {
			return g, fmt.Errorf("%s has %s without GRUB for BIOS (%s); the package is grub-pc-bin or grub2-pc-modules", c.device, g.install, modules)
		}
		return g, nil
	}
	return grub{}, fmt.Errorf("%s has no grub-install; the package is grub2-common or grub2-tools", c.device)
}
