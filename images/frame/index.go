package frame

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Sizes in bytes.
const (
	// ChunkSize is how much of the raw image a chunk of [Pack] is; the last may be
	// less.
	ChunkSize = 4 << 20
	// SectorSize divides the size of every image.
	SectorSize = 512
	// MaxImageSize is the most that a raw image may be.
	MaxImageSize = 1 << 40
	// FooterSize is that of the end of a file, which says how long the index is.
	FooterSize = 16
	// MaxIndexSize is the most that an index may be.
	MaxIndexSize = headSize + entrySize*(MaxImageSize/ChunkSize)

	minChunkSize = 4 << 10 // so that chunks stay aligned for direct I/O
	maxChunkSize = 16 << 20

	skipSize  = 8                  // magic number and length of the skippable frame
	headSize  = 24 + sha256.Size   // of the index, before the chunks
	entrySize = 4 + sha256.Size    // of the index, for each chunk
	holeBit   = uint32(1) << 31    // in the length of a chunk
	skipMagic = uint32(0x184D2A5D) // one of the sixteen of RFC 8878
	version   = 1

	indexMagic  = "DFLYIDX\n"
	footerMagic = "DFLYEND\n"
)

var (
	// ErrMismatch is of bytes that are not those that were named: they were changed
	// on the way, or cut. Fetching them again may help.
	ErrMismatch = errors.New("the SHA-256 is another")
	// ErrInvalid is of a file that is not, or is no good, image.
	ErrInvalid = errors.New("not a valid image")
)

// Name names an image by its content: the SHA-256 of the index.
type Name [sha256.Size]byte

// ParseName reads 64 hexadecimal digits in lower case, as [Name.String] writes
// them: a name has one spelling only.
func ParseName(text string) (n Name, err error) {
	if len(text) != hex.EncodedLen(len(n)) {
		return n, fmt.Errorf("image name %.80q: want %d hexadecimal digits", text, hex.EncodedLen(len(n)))
	}
	if _, err := hex.Decode(n[:], []byte(text)); err != nil || n.String() != text {
		return Name{}, fmt.Errorf("image name %q: want hexadecimal digits in lower case", text)
	}
	return n, nil
}

func (n Name) String() string { return hex.EncodeToString(n[:]) }

// MarshalText is [Name.String].
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText is [ParseName].
func (n *Name) UnmarshalText(text []byte) (err error) {
	*n, err = ParseName(string(text))
	return err
}

// Index says what an image is made of.
type Index struct {
	Name      Name
	Size      int64 // of the raw image
	ChunkSize int
	Sum       [sha256.Size]byte // of the raw image
	Chunks    []Chunk           // in their order; without gaps
}

// Chunk is a part of an image.
type Chunk struct {
	At     int64             // in the raw image
	Size   int               // of the raw bytes
	Hole   bool              // all zero: need not be fetched
	Offset int64             // in the file
	Packed int               // bytes in the file
	Sum    [sha256.Size]byte // of the packed bytes
}

// Run is chunks that follow one another and are all holes, or none is: one range
// to discard, or one to fetch.
type Run struct {
	Hole   bool
	At     int64 // in the raw image
	Size   int64 // of the raw bytes
	Offset int64 // in the file
	Packed int64 // bytes in the file
	Chunks []Chunk
}

// Runs are all runs, in their order.
func (x *Index) Runs() iter.Seq[Run] {
	return func(yield func(Run) bool) {
		for rest := x.Chunks; len(rest) > 0; {
			run := Run{Hole: rest[0].Hole, At: rest[0].At, Offset: rest[0].Offset}
			n := 0
			for ; n < len(rest) && rest[n].Hole == run.Hole; n++ {
				run.Size += int64(rest[n].Size)
				run.Packed += int64(rest[n].Packed)
			}
			run.Chunks, rest = rest[:n], rest[n:]
			if !yield(run) {
				return
			}
		}
	}
}

// Data is how many raw bytes are not in holes, and how many packed bytes they are:
// what is left to write, and to fetch.
func (x *Index) Data() (raw, packed int64) {
	for run := range x.Runs() {
		if !run.Hole {
			raw, packed = raw+run.Size, packed+run.Packed
		}
	}
	return raw, packed
}

// FileSize is the size of the file.
func (x *Index) FileSize() int64 {
	return x.packed() + skipSize + int64(headSize+entrySize*len(x.Chunks)) + FooterSize
}

// packed is the size of all chunks in the file.
func (x *Index) packed() int64 {
	if len(x.Chunks) == 0 {
		return 0
	}
	last := x.Chunks[len(x.Chunks)-1]
	return last.Offset + int64(last.Packed)
}

// bytes is the index as it is in the file.
func (x *Index) bytes() []byte {
	b := append(make([]byte, 0, headSize+entrySize*len(x.Chunks)), indexMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(x.ChunkSize))
	b = binary.LittleEndian.AppendUint64(b, uint64(x.Size))
	b = append(b, x.Sum[:]...)
	for _, c := range x.Chunks {
		word := uint32(c.Packed)
		if c.Hole {
			word |= holeBit
		}
		b = append(binary.LittleEndian.AppendUint32(b, word), c.Sum[:]...)
	}
	return b
}

// tail is what follows the chunks: the index in a skippable frame, and the footer.
func (x *Index) tail() []byte {
	index := x.bytes()
	b := binary.LittleEndian.AppendUint32(nil, skipMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(index)+FooterSize))
	b = append(b, index...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(index)))
	b = binary.LittleEndian.AppendUint32(b, version)
	return append(b, footerMagic...)
}

// ParseFooter reads the last [FooterSize] bytes of a file: the index is that many
// bytes, and they are right before the footer.
func ParseFooter(footer []byte) (indexSize int, err error) {
	if len(footer) != FooterSize || string(footer[8:]) != footerMagic {
		return 0, fmt.Errorf("%w: it does not end as one; it may be cut", ErrInvalid)
	}
	if v := binary.LittleEndian.Uint32(footer[4:]); v != version {
		return 0, fmt.Errorf("%w: version %d is not known", ErrInvalid, v)
	}
	size := binary.LittleEndian.Uint32(footer)
	if size < headSize+entrySize || size > MaxIndexSize || (size-headSize)%entrySize != 0 {
		return 0, fmt.Errorf("%w: no index has %d bytes", ErrInvalid, size)
	}
	return int(size), nil
}

// ParseIndex reads the index of the image of that name.
func ParseIndex(index []byte, name Name) (*Index, error) {
	if sum := sha256.Sum256(index); Name(sum) != name {
		return nil, fmt.Errorf("index of image %s: %w: %x", name, ErrMismatch, sum)
	}
	return parseIndex(index)
}

// parseIndex reads an index and gives it its name.
func parseIndex(index []byte) (*Index, error) {
	x, err := parseHead(index)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	x.Name, x.Chunks = sha256.Sum256(index), make([]Chunk, 0, len(index)/entrySize)
	offset := int64(0)
	for entry := range bytesOf(index[headSize:], entrySize) {
		word := binary.LittleEndian.Uint32(entry)
		c := Chunk{At: int64(len(x.Chunks)) * int64(x.ChunkSize), Hole: word&holeBit != 0, Offset: offset, Packed: int(word &^ holeBit)}
		c.Size = int(min(int64(x.ChunkSize), x.Size-c.At))
		if c.Packed < 1 || c.Packed > maxPacked(c.Size) {
			return nil, fmt.Errorf("%w: chunk %d cannot have %d bytes", ErrInvalid, len(x.Chunks), c.Packed)
		}
		copy(c.Sum[:], entry[4:])
		x.Chunks, offset = append(x.Chunks, c), offset+int64(c.Packed)
	}
	return x, nil
}

// parseHead reads what comes before the chunks, and checks that their number fits.
func parseHead(b []byte) (*Index, error) {
	if len(b) < headSize || !bytes.HasPrefix(b, []byte(indexMagic)) {
		return nil, errors.New("there is no index")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return nil, fmt.Errorf("an index of version %d is not known", v)
	}
	chunk, size := binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint64(b[16:])
	switch {
	case chunk < minChunkSize || chunk > maxChunkSize || chunk%minChunkSize != 0:
		return nil, fmt.Errorf("chunks of %d bytes", chunk)
	case size == 0 || size > MaxImageSize || size%SectorSize != 0:
		return nil, fmt.Errorf("a raw image of %d bytes", size)
	}
	chunks := (size + uint64(chunk) - 1) / uint64(chunk)
	if uint64(len(b)) != headSize+entrySize*chunks || len(b) > MaxIndexSize {
		return nil, fmt.Errorf("an index of %d bytes for %d chunks", len(b), chunks)
	}
	x := &Index{Size: int64(size), ChunkSize: int(chunk)}
	copy(x.Sum[:], b[24:])
	return x, nil
}

// bytesOf cuts b into pieces of n bytes.
func bytesOf(b []byte, n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for ; len(b) >= n && yield(b[:n]); b = b[n:] {
		}
	}
}

// maxPacked is more than any encoder makes of n bytes: blocks are stored where they
// do not get smaller.
func maxPacked(n int) int { return n + n>>8 + 64 }

// Open reads the index of the image of that name from a file of size bytes.
func Open(file io.ReaderAt, size int64, name Name) (*Index, error) {
	index, err := readIndex(file, size)
	if err != nil {
		return nil, err
	}
	x, err := ParseIndex(index, name)
	if err == nil && x.FileSize() != size {
		return nil, fmt.Errorf("image %s: %w: the file has %d bytes and not %d", name, ErrInvalid, size, x.FileSize())
	}
	return x, err
}

// readIndex reads the bytes of the index.
func readIndex(file io.ReaderAt, size int64) ([]byte, error) {
	if size < FooterSize {
		return nil, fmt.Errorf("%w: it has %d bytes only", ErrInvalid, size)
	}
	footer := make([]byte, FooterSize)
	if err := readFull(file, footer, size-FooterSize); err != nil {
		return nil, err
	}
	n, err := ParseFooter(footer)
	if err != nil {
		return nil, err
	}
	if int64(n)+FooterSize+skipSize > size {
		return nil, fmt.Errorf("%w: the index would begin before the file", ErrInvalid)
	}
	index := make([]byte, n)
	return index, readFull(file, index, size-FooterSize-int64(n))
}

// readFull reads len(p) bytes at off. That a file ends early is never a success.
func readFull(file io.ReaderAt, p []byte, off int64) error {
	n, err := file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}
