package signature

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"dragonfly/images/agent/partition"
	"dragonfly/registry"
)

// Dragonfly's mark says which machine a disk was installed for, and by which
// deployment: one sector, 4 KiB before the end of the first MiB. There is nothing
// there on any disk whose partitions begin at 1 MiB, as they do since 2010; GRUB's
// core for BIOS stands before, and is a tenth of that size. What writes an image
// over the disk overwrites the mark with it.
const (
	markAt    = 1<<20 - 4096
	markSize  = 512
	markMagic = "DRAGONFLY MARK 1"
	maxID     = 64
)

// errMark says that there is no room for a mark.
var errMark = errors.New("the disk has no room for Dragonfly's mark")

// WriteMark writes the mark. A disk on which something stands in its place is left
// as it is, with an error: one without a partition table, or with an old one.
func WriteMark(disk partition.ReadWriterAt, size int64, machine, deployment string) error {
	if len(machine) > maxID || len(deployment) > maxID {
		return fmt.Errorf("mark a disk: an ID longer than %d bytes", maxID)
	}
	table, err := partition.Read(disk, size)
	if err != nil {
		return fmt.Errorf("%w: %w", errMark, err)
	}
	for _, p := range table.Parts {
		if p.Start < markAt+4096 {
			return fmt.Errorf("%w: partition %d begins at %d", errMark, p.Number, p.Start)
		}
	}
	b := make([]byte, 4096)
	if _, err := disk.ReadAt(b, markAt); err != nil {
		return fmt.Errorf("mark a disk: %w", err)
	}
	if _, _, ok := parseMark(b); !ok && !bytes.Equal(b, make([]byte, len(b))) {
		return fmt.Errorf("%w: something else stands there", errMark)
	}
	clear(b)
	copy(b, markMagic)
	copy(b[32:], machine)
	copy(b[32+maxID:], deployment)
	binary.LittleEndian.PutUint32(b[markSize-4:], crc32.ChecksumIEEE(b[:markSize-4]))
	if _, err := disk.WriteAt(b, markAt); err != nil {
		return fmt.Errorf("mark a disk: %w", err)
	}
	return nil
}

func parseMark(b []byte) (machine, deployment string, ok bool) {
	if string(b[:len(markMagic)]) != markMagic || crc32.ChecksumIEEE(b[:markSize-4]) != le32(b[markSize-4:]) {
		return "", "", false
	}
	return text(b[32 : 32+maxID]), text(b[32+maxID : 32+2*maxID]), true
}

func readMark(p *probe) []Signature {
	b := p.at(markAt, markSize)
	if b == nil {
		return nil
	}
	machine, deployment, ok := parseMark(b)
	if !ok {
		return nil
	}
	return one(Signature{Type: registry.MarkSignature, Kind: Mark, Label: machine, UUID: deployment, Magic: []Span{{markAt, markSize}}})
}
