package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/images/frame"
	"dragonfly/registry"
)

// tool runs a command of the shell; the test is skipped where what it may use is not
// installed.
func tool(t testing.TB, dir, command string) {
	t.Helper()
	for _, name := range []string{"qemu-img", "gzip", "xz", "zstd", "bzip2"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIPPED: %v; install Debian's packages qemu-utils gzip xz-utils zstd bzip2", err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// convert converts the file at path, as a job would.
func convert(t testing.TB, path, said string) (registry.Image, []byte, error) {
	t.Helper()
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(path, filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	c := &converter{store: s, dir: dir, report: func(string, int64, int64) {}}
	image, err := c.convert(t.Context(), said)
	if err != nil {
		return image, nil, err
	}
	if err := os.Rename(filepath.Join(dir, imageName), filepath.Join(s.cfg.Dir, image.Name+imageExt)); err != nil {
		t.Fatal(err)
	}
	raw, err := exec.CommandContext(t.Context(), "zstd", "-dc", filepath.Join(s.cfg.Dir, image.Name+imageExt)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return image, raw, nil
}

// Every format, made by the tools that make them, gives the same disk. Cut anywhere,
// none gives any.
func TestFormats(t *testing.T) {
	raw := small(t)
	for _, c := range []struct{ format, command string }{
		{"raw", "cat disk"},
		{"raw.gz", "gzip -c disk"},
		{"raw.gz", "(head -c 500000 disk | gzip -c; tail -c +500001 disk | gzip -c)"}, // in two parts
		{"raw.xz", "xz -c disk"},
		{"raw.xz", "xz -9 -T2 --block-size=100KiB -c disk"},
		{"raw.zst", "zstd -qc disk"},
		{"raw.zst", "zstd -qc --long=27 disk"},
		{"raw.zst", "(printf '\\125\\052\\115\\030\\004\\000\\000\\000abcd'; zstd -qc disk)"}, // as pzstd begins
		{"raw.bz2", "bzip2 -c disk"},
		{"qcow2", "qemu-img convert -O qcow2 disk out >&2 && cat out"},
		{"qcow2", "qemu-img convert -c -O qcow2 disk out >&2 && cat out"},
		{"qcow2", "qemu-img convert -c -O qcow2 -o compression_type=zstd disk out >&2 && cat out"},
		{"qcow2", "qemu-img convert -c -O qcow2 -o cluster_size=2M disk out >&2 && cat out"},
		{"qcow2", "qemu-img convert -O qcow2 -o cluster_size=512 disk out >&2 && cat out"},
		{"qcow2", "qemu-img convert -O qcow2 -o compat=0.10 disk out >&2 && cat out"},
		{"qcow2.xz", "qemu-img convert -O qcow2 disk out >&2 && xz -c out"},
		{"qcow2.gz", "qemu-img convert -c -O qcow2 disk out >&2 && gzip -c out"},
	} {
		t.Run(c.command, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "disk"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
			tool(t, dir, "("+c.command+") >packed")
			path := filepath.Join(dir, "packed")
			image, got, err := convert(t, path, c.format)
			if err != nil || image.Format != c.format || !bytes.Equal(got, raw) {
				t.Fatalf("%+v, %v", image, err)
			}
			if _, _, err := convert(t, path, "raw.lzma"); err == nil || !strings.Contains(err.Error(), "it is "+c.format+", and not raw.lzma") {
				t.Errorf("said to be another: %v", err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int64{info.Size() - 1, info.Size() / 2, 700, 10} {
				if err := os.Truncate(path, n); err != nil {
					t.Fatal(err)
				}
				if c.format == "qcow2" && n == info.Size()-1 {
					continue // of the last cluster, in which the disk ends before
				}
				if image, _, err := convert(t, path, ""); err == nil && n%frame.SectorSize != 0 {
					t.Errorf("cut to %d of %d bytes: %+v", n, info.Size(), image)
				}
			}
		})
	}
}

// A raw disk with a partition table that is cut at a sector is found out by that.
func TestCutPartitionedDisk(t *testing.T) {
	raw := make([]byte, 64<<10)
	gpt := raw[512:604]
	copy(gpt, "EFI PART")
	binary.LittleEndian.PutUint32(gpt[12:], 92)
	binary.LittleEndian.PutUint64(gpt[32:], uint64(len(raw)/512-1))
	binary.LittleEndian.PutUint32(gpt[16:], crc32.ChecksumIEEE(gpt))
	path := filepath.Join(t.TempDir(), "disk")
	for size, cut := range map[int]bool{len(raw): false, len(raw) - 512: true, 4096: true} {
		if err := os.WriteFile(path, raw[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := convert(t, path, "raw")
		if (err != nil) != cut || cut && !strings.Contains(err.Error(), "its partition table is for a disk of 65536") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestStrangers(t *testing.T) {
	pad := func(s string) []byte { return append([]byte(s), make([]byte, 1024-len(s))...) }
	vdi := make([]byte, 1024)
	copy(vdi[0x40:], "\x7f\x10\xda\xbe")
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	for want, body := range map[string][]byte{
		"a VMDK disk": pad("KDMV"), "a VHDX disk": pad("vhdxfile"), "a VHD disk": pad("conectix"), "a VDI disk": vdi, "a tar archive": tar,
		"a ZIP archive": pad("PK\x03\x04"), "a web page": pad("<!DOCTYPE html><p>404"), "it is empty": {},
		"whole sectors": []byte("any text that is not a disk"), "unpack the gzip file": []byte("\x1f\x8b\x08\x00and then rubbish"),
		"unpack the xz file": []byte("\xfd7zXZ\x00and then rubbish"), "unpack the zstd file": []byte("\x28\xb5\x2f\xfdand then rubbish"),
		"unpack the bzip2 file": []byte("BZh9and then rubbish"), "the qcow2 header is cut": []byte("QFI\xfb\x00\x00\x00\x03"),
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := convert(t, path, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What would be read of other files is refused by its header.
func TestHostileQcow2(t *testing.T) {
	dir := t.TempDir()
	tool(t, dir, "qemu-img create -f qcow2 -b /etc/passwd -F raw backed 1M")
	tool(t, dir, "qemu-img create -f qcow2 -o data_file=other external 1M")
	tool(t, dir, "qemu-img create -f qcow2 -o extended_l2=on subclusters 1M")
	tool(t, dir, "qemu-img create -f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s encrypted 1M")
	for name, want := range map[string]string{"backed": "backing file", "external": "in another file", "subclusters": "extended_l2", "encrypted": "encrypted"} {
		if _, _, err := convert(t, filepath.Join(dir, name), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What unpacks to far more than it is costs no memory, and ends.
func TestBombs(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ command, want string }{
		{"head -c 64000000 /dev/zero | xz --lzma2=dict=768MiB -c >bomb", "dictionary size exceeds max"},
		{"head -c 300000000 /dev/zero | zstd -qc --long=30 >bomb", "window size exceeded"},
	} {
		tool(t, dir, c.command)
		if _, _, err := convert(t, filepath.Join(dir, "bomb"), ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.command, err)
		}
	}
}

// Whatever is in a file, it is read or refused, without a panic; and what is known
// to be of some size is never less.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	tiny := make([]byte, 8<<10)
	copy(tiny[4096:], "a small disk")
	if err := os.WriteFile(filepath.Join(dir, "disk"), tiny, 0o600); err != nil {
		f.Fatal(err)
	}
	for i, command := range []string{"cat disk", "gzip -c disk", "xz -c disk", "zstd -qc disk", "bzip2 -c disk",
		"qemu-img convert -O qcow2 -o cluster_size=512 disk out >&2 && cat out",
		"qemu-img convert -c -O qcow2 -o cluster_size=512 disk out >&2 && cat out",
		"qemu-img convert -c -O qcow2 -o cluster_size=512,compression_type=zstd disk out >&2 && cat out"} {
		tool(f, dir, fmt.Sprintf("(%s) >seed%d", command, i))
		seed, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("seed%d", i)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	s, err := Open(Config{Dir: filepath.Join(dir, "store")})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(dir, fmt.Sprint("file", os.Getpid()))
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		in, err := newCounted(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		o, err := open(in, "")
		if err != nil {
			return
		}
		c := &converter{store: s, dir: dir, report: func(string, int64, int64) {}}
		disk, size, err := c.disk(t.Context(), o, file, in)
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, io.LimitReader(disk, 16<<20))
		if err == nil && n < 16<<20 && size > 0 && n != size {
			t.Errorf("%d bytes of a disk of %d", n, size)
		}
	})
}
