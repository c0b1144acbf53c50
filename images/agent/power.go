package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// restart writes out what is in memory and restarts the machine. It returns
// only when that failed.
func restart() error {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}

// errNoDiskEntry says that the firmware knows no way to the disk. The next boot
// then comes from the network, where the server answers with the local disk.
var errNoDiskEntry = errors.New("the firmware has no boot entry for a disk")

// The GUID of the variables the UEFI standard defines (UEFI 3.3), and the
// attributes of BootNext: non-volatile, boot service and runtime access.
const (
	efiGlobal     = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	efiAttributes = 7
)

// bootDisk makes the first disk of the boot order the one to boot next, once, by
// the variable BootNext in dir. On a BIOS machine there is no such variable and
// nothing to do: the server decides when the machine asks again.
func bootDisk(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	order, err := os.ReadFile(path.Join(dir, "BootOrder"+efiGlobal))
	if err != nil {
		return fmt.Errorf("read the boot order: %w", err)
	}
	for _, n := range bootNumbers(order) {
		option, err := os.ReadFile(path.Join(dir, fmt.Sprintf("Boot%04X", n)+efiGlobal))
		if err != nil || !bootsDisk(option) {
			continue
		}
		next := binary.LittleEndian.AppendUint32(nil, efiAttributes)
		next = binary.LittleEndian.AppendUint16(next, n)
		// The kernel takes a variable in one write only.
		if err := os.WriteFile(path.Join(dir, "BootNext"+efiGlobal), next, 0o644); err != nil {
			return fmt.Errorf("set BootNext to %04X: %w", n, err)
		}
		return nil
	}
	return errNoDiskEntry
}

// bootNumbers reads BootOrder: four bytes of attributes, then 16-bit numbers.
func bootNumbers(variable []byte) []uint16 {
	var numbers []uint16
	for rest := variable[min(4, len(variable)):]; len(rest) >= 2; rest = rest[2:] {
		numbers = append(numbers, binary.LittleEndian.Uint16(rest))
	}
	return numbers
}

// Device path nodes (UEFI 10.3): the media type, and its hard drive.
const (
	nodeMedia, nodeHardDrive = 4, 1
	nodeEnd                  = 0x7f
	loadOptionActive         = 1
)

// bootsDisk reads an EFI_LOAD_OPTION (UEFI 3.1.3) behind four bytes of variable
// attributes: attributes, length of the path list, a description in UCS-2, and
// the device path. It reports an active entry whose path leads to a partition.
func bootsDisk(variable []byte) bool {
	if len(variable) < 10 || variable[4]&loadOptionActive == 0 {
		return false
	}
	length := int(binary.LittleEndian.Uint16(variable[8:]))
	rest := variable[10:]
	for len(rest) >= 2 && binary.LittleEndian.Uint16(rest) != 0 {
		rest = rest[2:]
	}
	if len(rest) < 2 || len(rest)-2 < length {
		return false
	}
	for nodes := rest[2 : 2+length]; len(nodes) >= 4; {
		size := int(binary.LittleEndian.Uint16(nodes[2:]))
		switch {
		case nodes[0] == nodeMedia && nodes[1] == nodeHardDrive:
			return true
		case nodes[0] == nodeEnd, size < 4, size > len(nodes):
			return false
		}
		nodes = nodes[size:]
	}
	return false
}
