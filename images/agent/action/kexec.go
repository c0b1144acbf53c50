package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// kexec starts the kernel of what is installed, without the firmware and its minutes
// of self-tests: the one that is named, or the one that its boot loader would start.
func kexec(ctx context.Context, env *Env) error {
	device, err := env.must("BLOCK_DEVICE")
	if err != nil {
		return err
	}
	if env.Vars["KERNEL_PATH"] == "" && env.Vars["INITRD_PATH"] != "" {
		return errors.New("INITRD_PATH is set and KERNEL_PATH is not; want both, or neither")
	}
	v, err := env.mount(ctx, device, env.text("FS_TYPE", ""), unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
	if err != nil {
		return err
	}
	boot, err := env.bootOf(v)
	if err == nil {
		env.logf("starting %s %s", boot.kernel, boot.options)
		err = boot.load(v)
	}
	if err := errors.Join(err, v.close()); err != nil {
		return fmt.Errorf("kexec: %w", err)
	}
	return end("kexec", unix.LINUX_REBOOT_CMD_KEXEC)
}

// bootOf is what is to be started.
func (e *Env) bootOf(v *volume) (bootItem, error) {
	item := bootItem{e.Vars["KERNEL_PATH"], e.Vars["INITRD_PATH"], e.Vars["CMD_LINE"]}
	if item.kernel != "" {
		return item, nil
	}
	found, err := findBoot(v)
	if e.Vars["CMD_LINE"] != "" {
		found.options = e.Vars["CMD_LINE"]
	}
	return found, err
}

// load gives the kernel to the one that runs.
func (b bootItem) load(v *volume) error {
	kernel, err := v.open(b.kernel, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer kernel.Close()
	if b.initrd == "" {
		return loadKernel(kernel, nil, b.options)
	}
	initrd, err := v.open(b.initrd, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer initrd.Close()
	return loadKernel(kernel, initrd, b.options)
}

// loadKernel gives a kernel to the one that runs; initrd may be nil.
func loadKernel(kernel, initrd *os.File, options string) error {
	flags, fd := unix.KEXEC_FILE_NO_INITRAMFS, -1
	if initrd != nil {
		flags, fd = 0, int(initrd.Fd())
	}
	err := unix.KexecFileLoad(int(kernel.Fd()), fd, options, flags)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENOKEY):
		return fmt.Errorf("%s: %w: under Secure Boot only a kernel with a trusted signature is started", kernel.Name(), err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%s: %w: it is no kernel for this machine", kernel.Name(), err)
	case err != nil:
		return fmt.Errorf("load %s: %w", kernel.Name(), err)
	}
	return nil
}

// maxConfig bounds a boot loader's configuration.
const maxConfig = 1 << 20

// readConfig is a small file of the volume.
func (v *volume) readConfig(name string) (string, error) {
	f, err := v.open(name, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	return string(b), err
}
