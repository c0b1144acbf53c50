package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const mib = 1 << 20

// raw is a disk with data, text, and holes.
func raw() []byte {
	disk := make([]byte, 9*mib+512)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(disk[:700_000])
	copy(disk[3*mib:], bytes.Repeat([]byte("all work and no play "), 60_000))
	_, _ = random.Read(disk[9*mib:])
	return disk
}

// made is the image that qemu-img makes of a disk.
func made(t testing.TB, disk []byte, options ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	if err := os.WriteFile(in, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"convert", "-f", "raw", "-O", "qcow2"}, options...)
	cmd := exec.CommandContext(t.Context(), "qemu-img", append(args, in, out)...)
	text, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("SKIPPED: qemu-img (Debian package qemu-utils) is not here")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// contents reads the disk extent by extent.
func contents(image []byte) ([]byte, error) {
	d, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return nil, err
	}
	all := make([]byte, d.Size())
	for at := int64(0); at < d.Size(); {
		n, zeros, err := d.Extent(at, d.Size())
		if err != nil {
			return nil, err
		}
		if !zeros {
			if _, err := d.ReadAt(all[at:at+n], at); err != nil {
				return nil, err
			}
		}
		at += n
	}
	return all, nil
}

func TestWhatQEMUMakes(t *testing.T) {
	disk := raw()
	for name, options := range map[string][]string{
		"plain": nil, "compressed": {"-c"}, "zstd": {"-c", "-o", "compression_type=zstd"}, "version 2": {"-o", "compat=0.10"},
		"small clusters": {"-c", "-o", "cluster_size=512"}, "large clusters": {"-c", "-o", "cluster_size=2M"},
	} {
		got, err := contents(made(t, disk, options...))
		if err != nil || !bytes.Equal(got, disk) {
			t.Errorf("%s: another disk, %v", name, err)
		}
	}
}

// An image that is cut is an error wherever it is cut, unless that is behind all its
// data.
func TestCut(t *testing.T) {
	disk := raw()
	image := made(t, disk, "-c")
	for _, cut := range []int{0, 50, 104, 70_000, len(image) / 2, len(image) - 70_000} {
		got, err := contents(image[:cut])
		if err == nil && !bytes.Equal(got, disk) {
			t.Errorf("cut to %d of %d bytes: another disk, without an error", cut, len(image))
		}
	}
	if _, err := contents(image[:len(image)/2]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut to a half: %v", err)
	}
}

func TestRefused(t *testing.T) {
	image := made(t, raw())
	set := func(at int, value ...byte) []byte {
		b := bytes.Clone(image)
		copy(b[at:], value)
		return b
	}
	u32 := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	u64 := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	for name, test := range map[string]struct {
		image []byte
		want  string
	}{
		"no image":             {make([]byte, 512), "it is no qcow2 image"},
		"nothing":              {nil, "the qcow2 header is cut"},
		"a version":            {set(4, u32(4)...), "qcow2 of version 4"},
		"a backing file":       {set(8, u64(512)...), "has a backing file"},
		"clusters of a byte":   {set(20, u32(0)...), "clusters of 2^0"},
		"huge clusters":        {set(20, u32(63)...), "clusters of 2^63"},
		"no disk":              {set(24, u64(0)...), "a disk of 0 bytes"},
		"a huge disk":          {set(24, u64(1<<63)...), "a disk of 9223372036854775808 bytes"},
		"2 TiB":                {set(24, u64(2<<40)...), "a disk of 2199023255552 bytes"},
		"a short header":       {set(100, u32(10)...), "a qcow2 header of 10"},
		"an odd disk":          {set(24, u64(1000)...), "a disk of 1000 bytes"},
		"encrypted":            {set(32, u32(2)...), "it is encrypted"},
		"a huge table":         {set(36, u32(1<<31)...), "the first table"},
		"a short table":        {set(36, u32(0)...), "the first table"},
		"a table nowhere":      {set(40, u64(1<<62)...), "the first table"},
		"a table at the start": {set(40, u64(0)...), "the first table"},
		"another file":         {set(72, u64(4)...), "its data is in another file"},
		"corrupt":              {set(72, u64(2)...), "marked as corrupt"},
		"subclusters":          {set(72, u64(16)...), "extended_l2"},
		"the future":           {set(72, u64(1<<40)...), "not known"},
		"a long header":        {set(100, u32(1<<31)...), "a qcow2 header of"},
	} {
		if _, err := contents(test.image); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// Whatever is in an image, reading it ends, without a panic and without end.
func FuzzOpen(f *testing.F) {
	small := raw()[:mib]
	clear(small[100_000:])
	f.Add(made(f, small, "-c"))
	f.Add(made(f, small, "-o", "cluster_size=4096"))
	f.Fuzz(func(t *testing.T, image []byte) {
		d, err := Open(bytes.NewReader(image), int64(len(image)))
		if err != nil || d.Size() > 4*mib {
			return
		}
		_, _ = contents(image)
	})
}
