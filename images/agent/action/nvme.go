package action

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nvmeCommand is struct nvme_passthru_cmd of include/uapi/linux/nvme_ioctl.h: a
// command for the controller.
type nvmeCommand struct {
	opcode, flags  uint8
	_              uint16
	namespace      uint32
	_, _           uint32 // cdw2, cdw3
	metadata, data uint64
	_, dataLength  uint32 // of the metadata, of the data
	cdw10, cdw11   uint32
	_, _, _, _     uint32
	timeout        uint32 // ms
	result         uint32
}

const nvmeAdmin = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD

// Commands (NVM Express base specification 2.0, figure 138) and what they are about.
const (
	nvmeGetLog, nvmeIdentify, nvmeFormat, nvmeSanitize = 0x02, 0x06, 0x80, 0x84

	identifyNamespace, identifyController   = 0, 1
	logSanitize                             = 0x81
	eraseUserData                           = 1       // of Format NVM
	blockErase, overwriteErase, cryptoErase = 2, 3, 4 // of Sanitize
)

// nvmeDisk is how an NVMe disk can erase itself, or why not.
type nvmeDisk struct {
	format, sanitize       way
	formatErr, sanitizeErr error
}

// nvme asks the disk what it can do.
func (d *eraser) nvme() (n nvmeDisk, err error) {
	if !strings.HasPrefix(d.name, "nvme") {
		return n, errors.New("it is no NVMe disk")
	}
	id, err := d.identify(identifyController, 0)
	if err != nil {
		return n, fmt.Errorf("ask the controller what it can do: %w", err)
	}
	namespace, err := unix.IoctlRetInt(int(d.file.Fd()), 0x4e40) // NVME_IOCTL_ID
	if err != nil {
		return n, fmt.Errorf("ask for the number of the namespace: %w", err)
	}
	block, err := d.identify(identifyNamespace, uint32(namespace))
	if err != nil {
		return n, fmt.Errorf("ask about the namespace: %w", err)
	}
	c := readController(id)
	alone := d.alone()
	n.formatErr, n.sanitizeErr = c.whyNotFormat(alone), c.whyNotSanitize(alone)
	n.format = way{name: "NVMe format with user data erase", itself: true, do: func(ctx context.Context) error {
		return goesOn(ctx, func() error {
			return d.command(nvmeCommand{opcode: nvmeFormat, namespace: uint32(namespace), cdw10: formatOf(block), timeout: uint32(eraseFor / time.Millisecond)}, nil)
		})
	}}
	n.sanitize = way{name: "NVMe sanitize", itself: true, do: func(ctx context.Context) error { return d.sanitize(ctx, c.sanitizeAction()) }}
	return n, nil
}

// eraseFor is how long a disk may take to erase itself.
const eraseFor = time.Hour

// nvmeController is what of Identify Controller matters here (figure 275).
type nvmeController struct {
	canFormat bool
	formatAll bool // formatting or erasing is for all namespaces
	sanitize  uint32
}

func readController(id []byte) nvmeController {
	return nvmeController{
		canFormat: id[256]&2 != 0, formatAll: id[524]&3 != 0, sanitize: binary.LittleEndian.Uint32(id[328:]) & 7,
	}
}

var errNamespaces = errors.New("it would erase the other namespaces of the controller too, which are disks of their own")

func (c nvmeController) whyNotFormat(alone bool) error {
	switch {
	case !c.canFormat:
		return errors.New("the disk knows no format")
	case c.formatAll && !alone:
		return errNamespaces
	}
	return nil
}

func (c nvmeController) whyNotSanitize(alone bool) error {
	switch {
	case c.sanitize == 0:
		return errors.New("the disk knows no sanitize")
	case !alone:
		return errNamespaces
	}
	return nil
}

// sanitizeAction prefers to erase the blocks, then the key that they are encrypted
// with, and overwrites where the disk knows neither.
func (c nvmeController) sanitizeAction() uint32 {
	switch {
	case c.sanitize&2 != 0:
		return blockErase
	case c.sanitize&1 != 0:
		return cryptoErase
	}
	return overwriteErase
}

// formatOf asks for the format that the namespace has, with its data erased (Format
// NVM, figure 189). Identify Namespace has the format in byte 26: the number in bits
// 3 to 0 and 6 to 5, how metadata are kept in bit 4; protection in byte 29.
func formatOf(namespace []byte) uint32 {
	flbas, dps := uint32(namespace[26]), uint32(namespace[29])
	return flbas&0xf | flbas>>4&1<<4 | dps&7<<5 | dps>>3&1<<8 | eraseUserData<<9 | flbas>>5&3<<12
}

// alone reports whether the disk is the only namespace of its controller.
func (d *eraser) alone() bool {
	controller, _, _ := strings.Cut(strings.TrimPrefix(d.name, "nvme"), "n")
	all, _ := filepath.Glob(filepath.Join(d.env.path("/sys/block"), "nvme"+controller+"n*"))
	return len(all) == 1
}

// identify is the answer of 4096 bytes to Identify.
func (d *eraser) identify(what, namespace uint32) ([]byte, error) {
	answer := make([]byte, 4096)
	return answer, d.command(nvmeCommand{opcode: nvmeIdentify, namespace: namespace, cdw10: what}, answer)
}

// command gives the controller a command and waits for its end.
func (d *eraser) command(c nvmeCommand, data []byte) error {
	if len(data) > 0 {
		c.data, c.dataLength = uint64(uintptr(unsafe.Pointer(&data[0]))), uint32(len(data))
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, d.file.Fd(), nvmeAdmin, uintptr(unsafe.Pointer(&c)))
	runtime.KeepAlive(data)
	switch {
	case errno != 0:
		return os.NewSyscallError("ioctl", errno)
	case status != 0:
		return fmt.Errorf("the disk answers with status %#x (NVM Express base specification, status field)", status)
	}
	return nil
}

// goesOn does what cannot be called back, and waits for its end no longer than ctx
// does.
func goesOn(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w; the disk goes on by itself", context.Cause(ctx))
	}
}

// sanitize starts the operation and follows it. It cannot be called back: a disk
// whose power fails goes on with it.
func (d *eraser) sanitize(ctx context.Context, action uint32) error {
	if err := d.command(nvmeCommand{opcode: nvmeSanitize, cdw10: action}, nil); err != nil {
		return err
	}
	for {
		page := make([]byte, 512)
		err := d.command(nvmeCommand{opcode: nvmeGetLog, namespace: 0xffffffff, cdw10: logSanitize | (512/4-1)<<16}, page)
		if err != nil {
			return fmt.Errorf("ask how far it is: %w", err)
		}
		done, progress, err := sanitizeStatus(page)
		if done || err != nil {
			return err
		}
		d.env.report(Progress{Stage: "sanitize", Done: progress, Total: 1 << 16})
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("%w; the disk goes on by itself", context.Cause(ctx))
		}
	}
}

// sanitizeStatus reads the log page (figure 236): the progress out of 65536, and the
// status of the last operation.
func sanitizeStatus(page []byte) (done bool, progress int64, err error) {
	progress = int64(binary.LittleEndian.Uint16(page))
	switch status := page[2] & 7; status {
	case 1, 4:
		return true, 1 << 16, nil
	case 2:
		return false, progress, nil
	default:
		return false, progress, fmt.Errorf("the disk says that it failed (status %d)", status)
	}
}
