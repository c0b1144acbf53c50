package packed

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThereAndBack(t *testing.T) {
	files := []File{
		{Name: "lib/modules/6.12/kernel/a.ko", Body: []byte("a module")},
		{Name: "lib/firmware/a-1.bin", Body: bytes.Repeat([]byte("firmware"), 100_000)},
		{Name: "lib/firmware/a.bin", Target: "a-1.bin"},
		{Name: "lib/firmware/empty"},
	}
	archive, err := Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Pack(files)
	if err != nil || !bytes.Equal(archive, again) {
		t.Errorf("the same files gave other bytes, %v", err)
	}
	root := t.TempDir()
	for range 2 { // the second time over what is there
		if err := Unpack(bytes.NewReader(archive), root); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		name, want := filepath.Join(root, f.Name), f.Body
		if f.Target != "" {
			if got, err := os.Readlink(name); err != nil || got != f.Target {
				t.Errorf("%s leads to %q, %v", f.Name, got, err)
			}
			want = files[1].Body
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d, %v", f.Name, len(got), len(want), err)
		}
	}
}

// TestRefused unpacks what Pack would not make.
func TestRefused(t *testing.T) {
	good, err := Pack([]File{{Name: "a", Body: bytes.Repeat([]byte("abcd"), 50_000)}})
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1 // in the checksum
	for name, tt := range map[string]struct {
		archive []byte
		says    string
	}{
		"not an archive": {[]byte("not an archive"), "magic number"},
		"cut short":      {good[:len(good)-5], "EOF"},
		"a flipped bit":  {flipped, "CRC"},
		"a name above":   {packHeader(t, tar.Header{Typeflag: tar.TypeReg, Name: "../a"}), `"../a" leads out`},
		"an absolute":    {packHeader(t, tar.Header{Typeflag: tar.TypeReg, Name: "/a"}), `"/a" leads out`},
		"a device":       {packHeader(t, tar.Header{Typeflag: tar.TypeChar, Name: "a"}), "neither a file nor a link"},
	} {
		err := Unpack(bytes.NewReader(tt.archive), t.TempDir())
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", name, err, tt.says)
		}
	}
}

// TestNoWayThroughALink writes below a link that leads out of the root.
func TestNoWayThroughALink(t *testing.T) {
	outside := t.TempDir()
	archive, err := Pack([]File{{Name: "lib", Target: outside}, {Name: "lib/a", Body: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := Unpack(bytes.NewReader(archive), t.TempDir()); err == nil {
		t.Error("unpacked")
	}
	if _, err := os.Stat(filepath.Join(outside, "a")); err == nil {
		t.Error("written outside the root")
	}
}

func packHeader(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packed, err := Compress(archive.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return packed
}
