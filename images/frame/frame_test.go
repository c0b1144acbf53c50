package frame

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// image is a raw image of chunks of these kinds: 0 a hole, r random, t text; and
// after them tail bytes of text.
func image(kinds string, chunk, tail int) []byte {
	rng := rand.NewChaCha8([32]byte{1})
	text := []byte("all work and no play makes Jack a dull boy\n")
	var raw []byte
	for _, kind := range kinds {
		part := make([]byte, chunk)
		switch kind {
		case 'r':
			rng.Read(part)
		case 't':
			for i := range part {
				part[i] = text[i%len(text)]
			}
		}
		raw = append(raw, part...)
	}
	return append(raw, bytes.Repeat([]byte("tail"), tail/4)...)
}

const small = 8 << 10 // bytes of a chunk in most tests

func packed(t testing.TB, raw []byte, chunk int) ([]byte, *Index) {
	t.Helper()
	var file bytes.Buffer
	x, err := pack(&file, bytes.NewReader(raw), chunk, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), x
}

func TestRoundTrip(t *testing.T) {
	for _, raw := range [][]byte{
		image("", small, 512),
		image("0", small, 0),
		image("t", small, 0),
		image("r", small, 0), // does not get smaller
		image("00t0rr000", small, 512),
		image("tttttttttttttttttttttttt0", small, 1024),
	} {
		file, made := packed(t, raw, small)
		x, err := Open(bytes.NewReader(file), int64(len(file)), made.Name)
		if err != nil {
			t.Fatal(err)
		}
		if x.Size != int64(len(raw)) || x.Sum != sha256.Sum256(raw) || x.FileSize() != int64(len(file)) || !slices.Equal(x.Chunks, made.Chunks) {
			t.Errorf("%+v", x)
		}
		decoder, err := NewDecoder(1)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, c := range x.Chunks {
			part, err := decoder.Decode(c, file[c.Offset:c.Offset+int64(c.Packed)], make([]byte, small))
			if err != nil {
				t.Fatal(err)
			}
			if empty := bytes.Count(part, []byte{0}) == len(part); empty != c.Hole {
				t.Errorf("chunk at %d: hole is %v", c.At, c.Hole)
			}
			got = append(got, part...)
		}
		decoder.Close()
		if !bytes.Equal(got, raw) {
			t.Error("another image came back")
		}
		if err := x.Verify(t.Context(), bytes.NewReader(file), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestPackIsDeterministic(t *testing.T) {
	raw := image("t0rt", ChunkSize, 512)
	var first, second bytes.Buffer
	var done []int64
	a, err := Pack(&first, bytes.NewReader(raw), func(n int64) { done = append(done, n) })
	if err != nil {
		t.Fatal(err)
	}
	b, err := Pack(&second, iotest.HalfReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != b.Name || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("%s and %s", a.Name, b.Name)
	}
	if want := []int64{1 * ChunkSize, 2 * ChunkSize, 3 * ChunkSize, 4 * ChunkSize, 4*ChunkSize + 512}; !slices.Equal(done, want) {
		t.Errorf("progress %v, want %v", done, want)
	}
}

func TestRuns(t *testing.T) {
	_, x := packed(t, image("00trt0", small, 512), small)
	type run struct {
		hole     bool
		at, size int64
		chunks   int
	}
	var got []run
	offset := int64(0)
	for r := range x.Runs() {
		got = append(got, run{r.Hole, r.At, r.Size, len(r.Chunks)})
		if r.Offset != offset {
			t.Errorf("run at %d begins at %d of the file, want %d", r.At, r.Offset, offset)
		}
		offset += r.Packed
	}
	want := []run{{true, 0, 2 * small, 2}, {false, 2 * small, 3 * small, 3}, {true, 5 * small, small, 1}, {false, 6 * small, 512, 1}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	raw, data := x.Data()
	if raw != 3*small+512 || data <= small || data >= x.FileSize() {
		t.Errorf("data: %d raw bytes, %d packed", raw, data)
	}
}

// Other decoders read the file as if the index were not there.
func TestOtherDecoders(t *testing.T) {
	raw := image("t0r", ChunkSize, 1536)
	file, _ := packed(t, raw, ChunkSize)
	stream, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("klauspost/compress as a stream: %d bytes, %v", len(got), err)
	}
	path := filepath.Join(t.TempDir(), "disk.img.zst")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), "zstd", "-dc", path).Output()
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("zstd -dc: %d bytes, %v", len(got), err)
	}
}

func TestPackRefuses(t *testing.T) {
	wire := errors.New("the wire was cut")
	full := errors.New("no space left")
	for _, c := range []struct {
		name string
		src  io.Reader
		dst  io.Writer
		want error
	}{
		{"nothing", strings.NewReader(""), io.Discard, ErrInvalid},
		{"half a sector", bytes.NewReader(make([]byte, small+100)), io.Discard, ErrInvalid},
		{"a source that breaks", io.MultiReader(bytes.NewReader(make([]byte, small)), iotest.ErrReader(wire)), io.Discard, wire},
		{"a source that is cut", io.MultiReader(bytes.NewReader(make([]byte, 512)), iotest.ErrReader(io.ErrUnexpectedEOF)), io.Discard, io.ErrUnexpectedEOF},
		{"a full disk", bytes.NewReader(image("rrrrrrrrrrrrrrrrrrrrrrrrrrrrr", small, 0)), &limited{room: 5 * small, err: full}, full},
		{"a disk that is full for the index", bytes.NewReader(image("t", small, 0)), &limited{room: 120, err: full}, full},
	} {
		if x, err := pack(c.dst, c.src, small, nil); !errors.Is(err, c.want) || x != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// limited takes room bytes.
type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.room -= len(p); l.room < 0 {
		return 0, l.err
	}
	return len(p), nil
}

// Any one wrong byte of a file is found, wherever it is, and so is any cut.
func TestDamage(t *testing.T) {
	raw := image("t0t", small, 512)
	file, made := packed(t, raw, small)
	check := func(file []byte) error {
		x, err := Open(bytes.NewReader(file), int64(len(file)), made.Name)
		if err != nil {
			return err
		}
		return x.Verify(t.Context(), bytes.NewReader(file), nil)
	}
	if err := check(file); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		if at := made.packed(); int64(i) >= at && int64(i) < at+skipSize {
			continue // the frame of the index, which only other decoders read
		}
		file[i] ^= 0x10
		if check(file) == nil {
			t.Errorf("byte %d of %d can be changed", i, len(file))
		}
		file[i] ^= 0x10
	}
	for n := range len(file) {
		if check(file[:n]) == nil {
			t.Errorf("it can be cut to %d of %d bytes", n, len(file))
		}
	}
	if check(append([]byte{0}, file...)) == nil {
		t.Error("a byte can be put in front")
	}
}

func TestAnotherName(t *testing.T) {
	file, made := packed(t, image("t", small, 0), small)
	other := made.Name
	other[3] ^= 1
	if _, err := Open(bytes.NewReader(file), int64(len(file)), other); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
}

// crafted is a file whose sums are all right, with frames of somebody's own making.
func crafted(size int64, frames ...[]byte) ([]byte, *Index) {
	x := &Index{Size: size, ChunkSize: small}
	var file []byte
	for i, f := range frames {
		at := int64(i) * small
		x.Chunks = append(x.Chunks, Chunk{At: at, Size: int(min(small, size-at)), Offset: int64(len(file)), Packed: len(f), Sum: sha256.Sum256(f)})
		file = append(file, f...)
	}
	x.Name = sha256.Sum256(x.bytes())
	return append(file, x.tail()...), x
}

func TestBombs(t *testing.T) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(n int) []byte { return encoder.EncodeAll(make([]byte, n), nil) }
	huge := zeros(64 << 20)
	if len(huge) > 16<<10 {
		t.Fatalf("%d bytes", len(huge))
	}
	// One of RLE blocks, of which each is 128 KiB in 4 bytes, without a size.
	silent := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}
	for i := range uint32(1000) {
		last := i / 999
		block := binary.LittleEndian.AppendUint32(nil, last|1<<1|(128<<10)<<3)
		silent = append(append(silent, block[:3]...), 0)
	}
	if stream, _ := zstd.NewReader(bytes.NewReader(silent)); stream != nil {
		if n, err := io.Copy(io.Discard, stream); n != 1000*128<<10 || err != nil {
			t.Fatalf("the bomb is a dud: %d bytes, %v", n, err)
		}
		stream.Close()
	}
	lying := append(zeros(small), zeros(small)...)
	skippable := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, skipMagic), 4)
	skippable = append(skippable, 1, 2, 3, 4)
	decoder, err := NewDecoder(1)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	dst := make([]byte, small)
	for name, frame := range map[string][]byte{"too much": huge, "without a size": silent, "two frames": lying, "skippable": skippable,
		"too little": zeros(small - 1), "nothing": {}, "no frame": []byte("no frame"), "cut": zeros(small)[:12]} {
		c := Chunk{Size: small, Packed: len(frame), Sum: sha256.Sum256(frame)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := decoder.Decode(c, frame, dst); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s: took %d bytes", name, took)
		}
	}
}

// A hole that is none, and a wrong sum of the whole: the sums of the chunks are
// right, but whoever made the file lied.
func TestVerifyFindsLies(t *testing.T) {
	encoder, _ := zstd.NewWriter(nil)
	frame := encoder.EncodeAll(image("t", small, 0), nil)
	file, x := crafted(small, frame)
	if err := x.Verify(t.Context(), bytes.NewReader(file), nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("a wrong sum of the whole: %v", err)
	}
	x.Chunks[0].Hole = true
	if err := x.Verify(t.Context(), bytes.NewReader(file), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a false hole: %v", err)
	}
}

func TestParseIndexRefuses(t *testing.T) {
	_, x := packed(t, image("t0r", small, 512), small)
	for name, spoil := range map[string]func(b []byte) []byte{
		"nothing":          func([]byte) []byte { return nil },
		"another magic":    func(b []byte) []byte { b[0]++; return b },
		"a later version":  func(b []byte) []byte { b[8]++; return b },
		"no chunk size":    func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 0); return b },
		"tiny chunks":      func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 512); return b },
		"crooked chunks":   func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 8193); return b },
		"huge chunks":      func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 32<<20); return b },
		"no size":          func(b []byte) []byte { binary.LittleEndian.PutUint64(b[16:], 0); return b },
		"a crooked size":   func(b []byte) []byte { b[16]++; return b },
		"a huge size":      func(b []byte) []byte { binary.LittleEndian.PutUint64(b[16:], 1<<63); return b },
		"too few chunks":   func(b []byte) []byte { return b[:len(b)-entrySize] },
		"too many chunks":  func(b []byte) []byte { return append(b, b[headSize:headSize+entrySize]...) },
		"half a chunk":     func(b []byte) []byte { return b[:len(b)-1] },
		"an empty chunk":   func(b []byte) []byte { binary.LittleEndian.PutUint32(b[headSize:], 0); return b },
		"a chunk too long": func(b []byte) []byte { binary.LittleEndian.PutUint32(b[headSize:], 1<<20); return b },
	} {
		b := spoil(x.bytes())
		if _, err := ParseIndex(b, sha256.Sum256(b)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseFooter(t *testing.T) {
	good := (&Index{Chunks: make([]Chunk, 3)}).tail()
	good = good[len(good)-FooterSize:]
	if n, err := ParseFooter(good); n != headSize+3*entrySize || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "short": good[1:], "long": append([]byte{0}, good...),
		"magic": append(slices.Clone(good[:15]), 'x'), "version": slices.Concat(good[:4], []byte{9}, good[5:]),
		"size": slices.Concat([]byte{1}, good[1:]), "huge": slices.Concat([]byte{0xff, 0xff, 0xff, 0xff}, good[4:]),
	} {
		if n, err := ParseFooter(bad); !errors.Is(err, ErrInvalid) || n != 0 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func TestName(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 4)
	var n Name
	if err := n.UnmarshalText([]byte(text)); err != nil || n.String() != text {
		t.Errorf("%s, %v", n, err)
	}
	for _, bad := range []string{"", text[1:], text + "0", strings.ToUpper(text), strings.Replace(text, "0", "g", 1), "../" + text[3:]} {
		if n, err := ParseName(bad); err == nil || n != (Name{}) {
			t.Errorf("%q is %s", bad, n)
		}
	}
}

// Whatever an index says, what is made of it is an index that says the same.
func FuzzParseIndex(f *testing.F) {
	for _, kinds := range []string{"t", "t0r", "000"} {
		_, x := packed(f, image(kinds, small, 512), small)
		f.Add(x.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseIndex(b, sha256.Sum256(b))
		if err != nil {
			return
		}
		if !bytes.Equal(x.bytes(), b) {
			t.Error("it is written back as another")
		}
		var at, offset int64
		for r := range x.Runs() {
			if r.At != at || r.Offset != offset || r.Size <= 0 || r.Packed <= 0 {
				t.Fatalf("a gap at %d: %+v", at, r)
			}
			at, offset = at+r.Size, offset+r.Packed
		}
		if at != x.Size || offset != x.packed() {
			t.Errorf("runs of %d of %d bytes", at, x.Size)
		}
	})
}

// Whatever is in a file, opening and verifying it ends, and without a panic.
func FuzzOpen(f *testing.F) {
	for _, kinds := range []string{"", "0t"} {
		file, _ := packed(f, image(kinds, minChunkSize, 512), minChunkSize)
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		index, err := readIndex(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		x, err := Open(bytes.NewReader(file), int64(len(file)), sha256.Sum256(index))
		if err != nil || x.Size > 64<<20 {
			return
		}
		_ = x.Verify(t.Context(), bytes.NewReader(file), nil)
	})
}

// system is 256 MiB of what an image has: programs, libraries and text of this
// host.
func system(b *testing.B) []byte {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "sh", "-c", "tar -c --sort=name -C / usr/bin usr/lib/x86_64-linux-gnu usr/share 2>/dev/null | head -c 268435456").Output()
	if err != nil || len(out) < 64<<20 {
		b.Skipf("SKIPPED: %d bytes of this host, %v", len(out), err)
	}
	return out[:len(out)/SectorSize*SectorSize]
}

func BenchmarkPack(b *testing.B) {
	raw := system(b)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		x, err := Pack(io.Discard, bytes.NewReader(raw), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(raw))/float64(x.FileSize()), "ratio")
	}
}

func BenchmarkVerify(b *testing.B) {
	file, x := packed(b, system(b), ChunkSize)
	b.SetBytes(x.Size)
	for b.Loop() {
		if err := x.Verify(b.Context(), bytes.NewReader(file), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	file, x := packed(b, system(b), ChunkSize)
	decoder, err := NewDecoder(1)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, ChunkSize)
	b.SetBytes(x.Size)
	for b.Loop() {
		for _, c := range x.Chunks {
			if _, err := decoder.Decode(c, file[c.Offset:c.Offset+int64(c.Packed)], dst); err != nil {
				b.Fatal(err)
			}
		}
	}
}
