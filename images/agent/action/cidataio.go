package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/partition"
	"dragonfly/images/agent/signature"
)

// seedLabel is how cloud-init finds the file system with its seed.
const seedLabel = "CIDATA"

// cidataio gives cloud-init its seed (NoCloud) on a small partition at the end of the
// disk, for images of which nobody knows what is on which partition. One that is
// there already is written anew.
func cidataio(ctx context.Context, env *Env) error {
	device, err := env.must("DEST_DISK")
	if err != nil {
		return err
	}
	var files []smallFile
	for _, f := range []struct{ variable, name string }{
		{"USER_DATA", "user-data"}, {"META_DATA", "meta-data"}, {"NETWORK_CONFIG", "network-config"},
	} {
		// Without the first two cloud-init takes it for no seed.
		if text := env.Vars[f.variable]; text != "" || f.name != "network-config" {
			files = append(files, smallFile{f.name, text})
		}
	}
	if err := env.seed(ctx, device, files); err != nil {
		return fmt.Errorf("write the seed of cloud-init on %s: %w", device, err)
	}
	return nil
}

func (e *Env) seed(ctx context.Context, device string, files []smallFile) error {
	node, err := e.node(ctx, device)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	sector, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("read the size of its sectors: %w", err)
	}
	if _, err := fatFileSystem(seedLabel, int64(sector), 0, files); err != nil { // before anything is changed
		return err
	}
	p, err := e.seedPartition(f, device, size, int64(sector))
	if err != nil {
		return err
	}
	fs, err := fatFileSystem(seedLabel, int64(sector), p.Start, files)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(fs, p.Start); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// One that the kernel knows already stays as it is.
	if err := blkpg(int(f.Fd()), unix.BLKPG_ADD_PARTITION, p); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("tell the kernel of partition %d: %w", p.Number, err)
	}
	e.logf("the seed of cloud-init is on partition %d of %s", p.Number, device)
	return nil
}

// seedPartition is the partition with a seed, or a new one.
func (e *Env) seedPartition(f *os.File, device string, size, sector int64) (p partition.Partition, err error) {
	table, err := partition.ReadSector(f, size, sector)
	if err != nil {
		return p, err
	}
	if err := e.writing(device); err != nil {
		return p, err
	}
	for _, p := range table.Parts {
		if p.Size < fatSize(sector) || p.End() > size {
			continue
		}
		if isSeed(f, p) {
			return p, nil
		}
	}
	return partition.Append(f, size, sector, partition.Partition{Size: fatSize(sector), Type: partition.BasicDataGUID, Name: "cidata"})
}

// isSeed reports a partition of a disk that has a seed of cloud-init.
func isSeed(disk io.ReaderAt, p partition.Partition) bool {
	found, err := signature.Probe(io.NewSectionReader(disk, p.Start, p.Size), p.Size)
	return err == nil && slices.ContainsFunc(found, func(s signature.Signature) bool {
		return s.Type == "vfat" && strings.EqualFold(s.Label, seedLabel)
	})
}
