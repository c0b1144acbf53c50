package frame

import (
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Decoder decodes chunks; any number at once. It never gives more than a chunk is
// said to have, whatever its bytes say.
type Decoder struct{ zstd *zstd.Decoder }

// NewDecoder is a decoder of which at most n goroutines work at once; the others
// wait.
func NewDecoder(n int) (*Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(n), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(maxChunkSize), zstd.WithDecoderLowmem(true),
		zstd.IgnoreChecksum(true)) // the SHA-256 has been checked
	if err != nil {
		return nil, err
	}
	return &Decoder{d}, nil
}

// Close frees what d has.
func (d *Decoder) Close() { d.zstd.Close() }

// Decode puts the raw bytes of chunk c, of which packed is what the file has, into
// dst, which must have room for c.Size bytes; the result is dst[:c.Size]. What is
// not the chunk that the index names is refused with [ErrMismatch] before it is
// decoded.
func (d *Decoder) Decode(c Chunk, packed, dst []byte) ([]byte, error) {
	if len(packed) != c.Packed || sha256.Sum256(packed) != c.Sum {
		return nil, fmt.Errorf("chunk at %d of the image, at %d of the file: %w", c.At, c.Offset, ErrMismatch)
	}
	if err := checkFrame(packed, c.Size); err != nil {
		return nil, fmt.Errorf("chunk at %d of the image: %w: %w", c.At, ErrInvalid, err)
	}
	raw, err := d.zstd.DecodeAll(packed, dst[:0:c.Size])
	if err == nil && len(raw) != c.Size {
		err = fmt.Errorf("it has %d bytes and not %d", len(raw), c.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("chunk at %d of the image: %w: %w", c.At, ErrInvalid, err)
	}
	return raw, nil
}

// checkFrame looks whether a frame says of itself that it has size bytes.
func checkFrame(packed []byte, size int) error {
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return err
	}
	if h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(size) || h.DictionaryID != 0 {
		return fmt.Errorf("the frame is not one of %d bytes", size)
	}
	return nil
}
