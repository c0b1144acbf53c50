package frame

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Verify reads all of the file of index x and compares every sum: that of each
// chunk, and that of the raw image; and a hole has to be one. Progress, which may
// be nil, is told how many raw bytes were read.
func (x *Index) Verify(ctx context.Context, file io.ReaderAt, progress func(done int64)) error {
	workers := runtime.GOMAXPROCS(0)
	decoder, err := NewDecoder(workers)
	if err != nil {
		return err
	}
	defer decoder.Close()
	v := &verifier{file: file, decoder: decoder, whole: sha256.New(), zeros: make([]byte, x.ChunkSize)}
	now, before := make([]slot, workers), make([]slot, workers)
	for batch := range slices.Chunk(x.Chunks, workers) {
		if err := v.step(ctx, batch, now, before); err != nil {
			return fmt.Errorf("image %s: %w", x.Name, err)
		}
		now, before = before, now
		if last := batch[len(batch)-1]; progress != nil {
			progress(last.At + int64(last.Size))
		}
	}
	v.hash(before)
	if sum := v.whole.Sum(nil); !bytes.Equal(sum, x.Sum[:]) {
		return fmt.Errorf("image %s as a whole: %w: %x", x.Name, ErrMismatch, sum)
	}
	return nil
}

// slot is room for a chunk, and what of it is to be hashed.
type slot struct{ packed, room, raw []byte }

type verifier struct {
	file    io.ReaderAt
	decoder *Decoder
	whole   hash.Hash
	zeros   []byte
}

// step decodes a batch of chunks into now, each on a core, while those before it
// are hashed, which can only be done one after the other.
func (v *verifier) step(ctx context.Context, batch []Chunk, now, before []slot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error {
		v.hash(before)
		return nil
	})
	for i, c := range batch {
		group.Go(func() error { return v.decode(c, &now[i]) })
	}
	return group.Wait()
}

// hash adds what is in the slots to the sum of the image, and empties them.
func (v *verifier) hash(slots []slot) {
	for i := range slots {
		v.whole.Write(slots[i].raw)
		slots[i].raw = nil
	}
}

func (v *verifier) decode(c Chunk, to *slot) (err error) {
	to.packed = slices.Grow(to.packed[:0], c.Packed)[:c.Packed]
	to.room = slices.Grow(to.room[:0], c.Size)[:c.Size]
	if err := readFull(v.file, to.packed, c.Offset); err != nil {
		return err
	}
	if to.raw, err = v.decoder.Decode(c, to.packed, to.room); err != nil {
		return err
	}
	if c.Hole && !bytes.Equal(to.raw, v.zeros[:c.Size]) {
		return fmt.Errorf("chunk at %d of the image: %w: it is said to be a hole and is none", c.At, ErrInvalid)
	}
	return nil
}
