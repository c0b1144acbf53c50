package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// uevent is what the kernel says of a device that comes or goes
// (lib/kobject_uevent.c): "add@/devices/..." and KEY=VALUE pairs, each ended by
// a NUL.
type uevent struct {
	Action, Path, Subsystem, Devtype, Modalias string
}

// parseUevent reads a datagram of the kernel's group; ok is false for anything
// else, such as a message of udev's own group.
func parseUevent(data []byte) (ev uevent, ok bool) {
	head, rest, _ := bytes.Cut(data, []byte{0})
	action, path, ok := strings.Cut(string(head), "@")
	if !ok || !strings.HasPrefix(path, "/") {
		return uevent{}, false
	}
	ev = uevent{Action: action, Path: path}
	for pair := range bytes.SplitSeq(rest, []byte{0}) {
		switch key, value, _ := strings.Cut(string(pair), "="); key {
		case "SUBSYSTEM":
			ev.Subsystem = value
		case "DEVTYPE":
			ev.Devtype = value
		case "MODALIAS":
			ev.Modalias = value
		}
	}
	return ev, true
}

// hardware reports whether a disk or a network port has come or gone. Partitions
// are no hardware, and neither are loop devices, RAID arrays and bridges.
func (ev uevent) hardware() bool {
	if ev.Action != "add" && ev.Action != "remove" || strings.HasPrefix(ev.Path, "/devices/virtual/") {
		return false
	}
	return ev.Subsystem == "net" || ev.Subsystem == "block" && ev.Devtype == "disk"
}

// ueventBuffer holds the burst of a server's coldplug.
const ueventBuffer = 4 << 20

// openUevents subscribes to the kernel's device events.
func openUevents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("open device events: %w", err)
	}
	// An overrun is repaired by a new scan, so a refused size is no failure.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, ueventBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to device events: %w", err)
	}
	return os.NewFile(uintptr(fd), "uevents"), nil
}

// readUevents sends the events of f to out until ctx ends. When the kernel had
// to drop some it sends one with the action "lost".
func readUevents(ctx context.Context, f *os.File, out chan<- uevent) {
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		ev, ok := uevent{Action: "lost"}, true
		if err == nil {
			ev, ok = parseUevent(buf[:n])
		} else if !isOverrun(err) {
			return
		}
		if !ok {
			continue
		}
		select {
		case out <- ev:
		case <-ctx.Done():
			return
		}
	}
}
