package sparse

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const window = 128 << 20

// raw collects what is written and makes the holes.
type raw struct {
	bytes.Buffer
	holes int64
}

func (r *raw) Hole(n int64) error {
	r.holes += n
	_, _ = r.Buffer.Write(make([]byte, n))
	return nil
}

// disk is an image with data that packs badly, data that packs well, and holes.
func disk(holes ...int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	var image []byte
	for i, hole := range holes {
		data := make([]byte, 20_003+i)
		_, _ = random.Read(data[:len(data)/2])
		for j := range data[len(data)/2:] {
			data[len(data)/2+j] = byte(j / 7)
		}
		image = append(append(image, data...), make([]byte, hole)...)
	}
	return image
}

// packed is an image as zstd(1) packs it.
func packed(t testing.TB, image []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "zstd", append([]string{"-q", "-c"}, args...)...)
	cmd.Stdin = bytes.NewReader(image)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unpack(in []byte) (*raw, error) {
	z, err := NewZstd(bytes.NewReader(in), window)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	out := &raw{}
	_, err = z.WriteTo(out)
	return out, err
}

// Whatever packed it, and however: the image is the same, and its holes are not made.
func TestHoles(t *testing.T) {
	long := disk(5<<20, 200<<10, 3<<20+17, 0, 6<<20)
	size := "--stream-size=" // what a file would tell
	for _, c := range []struct {
		name  string
		image []byte
		args  []string
		holes int64 // at least
	}{
		{"as a pipe", long, nil, 5 << 20},
		{"with a size", long, []string{size + strconv.Itoa(len(long))}, 5 << 20},
		{"without a checksum", long, []string{"--no-check"}, 5 << 20},
		{"fast", long, []string{"--fast=3"}, 5 << 20},
		{"slow", long, []string{"-12"}, 0},
		{"far back", long, []string{"--long=22"}, 0},
		{"short", disk(100), []string{size + strconv.Itoa(len(disk(100)))}, 0},
		{"one hole", make([]byte, 9<<20), nil, 5 << 20},
		{"empty", nil, nil, 0},
	} {
		out, err := unpack(packed(t, c.image, c.args...))
		if err != nil || !bytes.Equal(out.Bytes(), c.image) {
			t.Errorf("%s: %d bytes of %d, %v", c.name, out.Len(), len(c.image), err)
		}
		if out != nil && out.holes < c.holes {
			t.Errorf("%s: only %d bytes are holes", c.name, out.holes)
		}
	}
}

// What is cut or changed is never a success, wherever.
func TestDamage(t *testing.T) {
	image := disk(3 << 20)
	whole := packed(t, image)
	if out, err := unpack(append(bytes.Clone(whole), whole...)); err != nil || !bytes.Equal(out.Bytes(), append(image, image...)) {
		t.Errorf("two frames: %v", err)
	}
	for n := len(whole) - 1; n > 0; n -= 1 + n/20 {
		if out, err := unpack(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes: %d bytes of an image and no error", n, len(whole), out.Len())
		}
	}
	for at := range whole {
		if at > 24 && at < len(whole)-24 && at%1999 != 0 {
			continue
		}
		bad := bytes.Clone(whole)
		bad[at] ^= 0x40
		if out, err := unpack(bad); err == nil && !bytes.Equal(out.Bytes(), image) {
			t.Errorf("byte %d changed: another image and no error", at)
		}
	}
	bad := bytes.Clone(whole)
	bad[len(bad)-1]++
	if _, err := unpack(bad); !errors.Is(err, ErrChecksum) {
		t.Errorf("another checksum: %v", err)
	}
	sized := packed(t, image, "--stream-size="+strconv.Itoa(len(image)))
	sized[6]++ // the least byte of the size
	if _, err := unpack(sized); !errors.Is(err, ErrSize) {
		t.Errorf("another size: %v", err)
	}
}

// A writer that fails ends it, in a hole too.
func TestFullDisk(t *testing.T) {
	whole := packed(t, disk(3<<20))
	for after := range 4 {
		z, err := NewZstd(bytes.NewReader(whole), window)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.WriteTo(&full{after}); !errors.Is(err, errFull) {
			t.Errorf("after %d: %v", after, err)
		}
		z.Close()
	}
}

var errFull = errors.New("full")

type full struct{ after int }

func (f *full) Write(p []byte) (int, error) { return len(p), f.Hole(0) }

func (f *full) Hole(int64) error {
	if f.after--; f.after < 0 {
		return errFull
	}
	return nil
}

// FuzzZstd holds this package against the decoder alone: the same bytes, or an error of
// both.
func FuzzZstd(f *testing.F) {
	for _, args := range [][]string{nil, {"--no-check"}, {"-12"}} {
		f.Add(packed(f, disk(3<<20), args...))
	}
	f.Add([]byte("(\xb5/\xfd\x00\x00\x02 \x00\x0020\x00\x00\x03 \x000")) // a block larger than the window
	// A window of 1 KiB, blocks of zeros, data of one byte, and a last block of zeros.
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x00" + "\x02\x20\x00\x00" + "\x02\x20\x00\x00" + "\x08\x00\x00x" + "\x03\x20\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		plain, err := zstd.NewReader(bytes.NewReader(in), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			t.Skip()
		}
		defer plain.Close()
		var want bytes.Buffer
		_, wantErr := io.Copy(&want, io.LimitReader(plain, 64<<20))
		z, err := NewZstd(bytes.NewReader(in), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		out := &raw{}
		if _, err := z.WriteTo(out); (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(out.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes, %v; the decoder alone: %d bytes, %v", out.Len(), err, want.Len(), wantErr)
		}
	})
}
