package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/efi"
)

// mountFunc is mount(2).
type mountFunc func(source, target, fstype string, flags uintptr, data string) error

// mountDev makes the devices appear. It comes before everything else: the /dev
// of an initramfs is empty, and without /dev/console nothing can be said.
func mountDev(mount mountFunc) error {
	return mountOne(mount, "devtmpfs", "/dev", unix.MS_NOSUID)
}

// mountKernel makes the kernel's own file systems appear.
func mountKernel(mount mountFunc) error {
	const plain = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return errors.Join(
		mountOne(mount, "proc", "/proc", plain),
		mountOne(mount, "sysfs", "/sys", plain),
		mountOne(mount, "tmpfs", "/run", unix.MS_NOSUID|unix.MS_NODEV),
	)
}

// mountEFI makes the firmware's variables appear; on a BIOS machine there are
// none, which is no error.
func mountEFI(mount mountFunc) error {
	err := mountOne(mount, "efivarfs", "/sys/firmware/efi/efivars", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

func mountOne(mount mountFunc, fstype, target string, flags uintptr) error {
	err := mount(fstype, target, fstype, flags, "")
	if err != nil && !errors.Is(err, unix.EBUSY) { // EBUSY: the kernel has mounted it itself
		return fmt.Errorf("mount %s on %s: %w", fstype, target, err)
	}
	return nil
}

// Init makes a fresh machine usable and returns the Config of the real host. It
// is for PID 1 of the agent image only. The Config it returns beside an error
// can speak to the operator and restart the machine..
func Init() (Config, error) {
	cfg := Config{Uptime: Uptime, Started: Uptime(), Restart: Restart, BootDisk: func() error { return bootDisk(efi.Default) }}
	var problems error
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run"} {
		problems = errors.Join(problems, os.MkdirAll(dir, 0o755))
	}
	problems = errors.Join(problems, mountDev(unix.Mount), useConsole())
	fmt.Println("dragonfly agent") // before all that could hang
	problems = errors.Join(problems, mountKernel(unix.Mount))

	root := tree{os.DirFS("/")}
	cfg.Console = openConsoles(root)
	cfg.Log = Logger(cfg.Console, Uptime)
	cfg.Log.Info("file systems are mounted")
	if problems != nil {
		return cfg, problems
	}
	boot, err := ParseCmdline(string(root.bytes("proc/cmdline")))
	if err != nil {
		return cfg, err
	}
	cfg.Boot, cfg.HTTP = boot, httpClient()
	newHost(root, cfg.Log).serve(&cfg)
	return cfg, nil
}

// useConsole makes /dev/console our standard streams. The kernel could not: it
// opened them before there was a /dev.
func useConsole() error {
	f, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("use /dev/console: %w", err)
		}
	}
	return nil
}

// httpClient is patient enough for a long poll and notices a server that is
// gone. There is no proxy and no environment on a machine without a system.
func httpClient() *http.Client {
	return &http.Client{
		Timeout: pollFor + 15*time.Second,
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: pollFor + 10*time.Second,
		},
	}
}

// Uptime is the time since the kernel started, as in /proc/uptime.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// release is the running kernel's, which names its folder of modules.
func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return strings.TrimRight(string(u.Release[:]), "\x00")
}

// insertModule gives the file to the kernel (finit_module(2)); one that is there
// already, or whose hardware turns out to be missing, is no failure.
func insertModule(log *slog.Logger, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	log.Debug("module", "file", file, "err", err)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
