package disktest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Made is the disk that commands of a shell make of a blank one, which they find
// in $DISK. It is recorded in testdata/NAME.disk, what use reads of it: with
// UPDATE=1 the commands run, and are to be there; else the recording is loaded.
func Made(t testing.TB, name string, size int64, commands string, use func(*Disk)) *Disk {
	t.Helper()
	file := filepath.Join("testdata", name+".disk")
	if os.Getenv("UPDATE") != "" && commands != "" {
		d := made(t, size, commands)
		use(d)
		recorded, err := d.Record()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, recorded, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Load(recorded)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d
}

func made(t testing.TB, size int64, commands string) *Disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-euc", commands)
	cmd.Env = append(os.Environ(), "DISK="+image)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, strings.TrimSpace(string(out)))
	}
	return Read(t, image)
}

// Read reads the image of a disk.
func Read(t testing.TB, image string) *Disk {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	d, chunk := New(size), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(chunk)) {
		n, err := f.ReadAt(chunk, at)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		for off := 0; off < n; off += block {
			if part := chunk[off:min(off+block, n)]; strings.Trim(string(part), "\x00") != "" {
				if _, err := d.WriteAt(part, at+int64(off)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return d
}
