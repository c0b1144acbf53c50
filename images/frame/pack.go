package frame

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// level is worth its time: an image is packed once, and fetched by every machine.
const level = zstd.SpeedDefault

// Pack writes the raw image that is read from src to dst, on all cores. The same
// image gives the same bytes. That src ends is only a success if it ends with
// [io.EOF]; what was written before an error is no image.
//
// Progress, which may be nil, is told how many raw bytes are done, from one
// goroutine, in the order of the image.
func Pack(dst io.Writer, src io.Reader, progress func(done int64)) (*Index, error) {
	return pack(dst, src, ChunkSize, progress)
}

// job is a chunk on its way.
type job struct {
	room   []byte // for a chunk; raw is as much of it as there is
	raw    []byte
	hashed chan struct{} // closed when raw is in the sum of the image
	packed chan struct{} // closed when all of the following is there
	frame  []byte
	hole   bool
	sum    [sha256.Size]byte
}

// packer is a pipeline: read, then at once hash and compress, then write in order.
type packer struct {
	index    Index // as far as it is written
	whole    hash.Hash
	encoder  *zstd.Encoder
	zeros    []byte        // a hole of a whole chunk
	hole     func() []byte // the same, packed
	jobs     sync.Pool
	progress func(int64)
}

func pack(dst io.Writer, src io.Reader, chunk int, progress func(int64)) (*Index, error) {
	workers := runtime.GOMAXPROCS(0)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(true)) // for other decoders; ours has the sums of the index
	if err != nil {
		return nil, err
	}
	defer encoder.Close()
	p := &packer{index: Index{ChunkSize: chunk}, whole: sha256.New(), encoder: encoder, zeros: make([]byte, chunk), progress: progress}
	p.hole = sync.OnceValue(func() []byte { return encoder.EncodeAll(p.zeros, nil) })
	p.jobs.New = func() any { return &job{room: make([]byte, chunk), frame: make([]byte, 0, maxPacked(chunk))} }
	if err := p.run(dst, src, workers); err != nil {
		return nil, err
	}
	p.whole.Sum(p.index.Sum[:0])
	p.index.Name = sha256.Sum256(p.index.bytes())
	if _, err := dst.Write(p.index.tail()); err != nil {
		return nil, err
	}
	return &p.index, nil
}

// run reads src to its end and writes all chunks.
func (p *packer) run(dst io.Writer, src io.Reader, workers int) error {
	group, ctx := errgroup.WithContext(context.Background())
	toHash, toPack, toWrite := make(chan *job, workers), make(chan *job, workers), make(chan *job, 2*workers)
	group.Go(func() error {
		defer close(toHash)
		defer close(toPack)
		defer close(toWrite)
		return p.read(ctx, src, toHash, toPack, toWrite)
	})
	group.Go(func() error {
		for j := range toHash {
			p.whole.Write(j.raw)
			close(j.hashed)
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			for j := range toPack {
				p.pack(j)
			}
			return nil
		})
	}
	group.Go(func() error { return p.write(ctx, dst, toWrite) })
	return group.Wait()
}

// read cuts src into chunks and hands each to all of next.
func (p *packer) read(ctx context.Context, src io.Reader, next ...chan<- *job) error {
	size := int64(0)
	for {
		j := p.jobs.Get().(*job)
		n, err := fill(src, j.room)
		size += int64(n)
		switch {
		case err != nil && err != io.EOF:
			return fmt.Errorf("read the image at %d: %w", size, err)
		case size > MaxImageSize:
			return fmt.Errorf("%w: it has more than %d bytes", ErrInvalid, int64(MaxImageSize))
		}
		if n > 0 {
			j.raw, j.hashed, j.packed = j.room[:n], make(chan struct{}), make(chan struct{})
			for _, to := range next {
				select {
				case to <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		if err == io.EOF {
			return checkSize(size)
		}
	}
}

// checkSize refuses what is no disk. A disk has whole sectors; a file that has not
// is cut, or something else.
func checkSize(size int64) error {
	switch {
	case size == 0:
		return fmt.Errorf("%w: it is empty", ErrInvalid)
	case size%SectorSize != 0:
		return fmt.Errorf("%w: %d bytes are not whole sectors of %d; is it a disk image, and all of it?", ErrInvalid, size, SectorSize)
	}
	return nil
}

// fill reads until p is full or src ends. Unlike [io.ReadFull] it keeps apart an
// end and a cut: the error is that of src.
func fill(src io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = src.Read(p[n:])
		n += more
	}
	return n, err
}

// pack compresses one chunk.
func (p *packer) pack(j *job) {
	defer close(j.packed)
	if j.hole = bytes.Equal(j.raw, p.zeros[:len(j.raw)]); j.hole && len(j.raw) == len(p.zeros) {
		j.frame = append(j.frame[:0], p.hole()...)
	} else {
		j.frame = p.encoder.EncodeAll(j.raw, j.frame[:0])
	}
	j.sum = sha256.Sum256(j.frame)
}

// write writes the chunks in their order and adds them to the index.
func (p *packer) write(ctx context.Context, dst io.Writer, jobs <-chan *job) error {
	for j := range jobs {
		for _, done := range []<-chan struct{}{j.hashed, j.packed} {
			select {
			case <-done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if _, err := dst.Write(j.frame); err != nil {
			return err
		}
		x := &p.index
		x.Chunks = append(x.Chunks, Chunk{At: x.Size, Size: len(j.raw), Hole: j.hole, Offset: x.packed(), Packed: len(j.frame), Sum: j.sum})
		x.Size += int64(len(j.raw))
		p.jobs.Put(j)
		if p.progress != nil {
			p.progress(x.Size)
		}
	}
	return nil
}
