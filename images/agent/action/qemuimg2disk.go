package action

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"dragonfly/images/magic"
	"dragonfly/images/qcow2"
)

// qemuimg2disk writes the disk in the image at IMG_URL, which is qcow2 or raw. A
// qcow2 image is not read in its order: parts of the disk are fetched by range, each
// by one of a few goroutines, and what has no data is neither fetched nor written.
// Where IMG_SHA256 is known, the whole file is fetched before, to be checked; what is
// fetched for the disk is then held against that.
func qemuimg2disk(ctx context.Context, env *Env) error {
	i, device, err := env.image()
	if err != nil {
		return err
	}
	if format := env.text("FORMAT", "host_device"); format != "host_device" && format != "raw" {
		return fmt.Errorf("FORMAT is %q; the agent writes host_device, which is the disk as it is", format)
	}
	if extra := env.Vars["EXTRA_ARGS"]; extra != "" {
		return fmt.Errorf("EXTRA_ARGS is %q; the agent has no qemu-img to take them", extra)
	}
	i.packed = false // the public one knows no such variable
	return i.writeWith(ctx, env, device, i.convert)
}

// convert writes an image of one of the formats that are known.
func (i image) convert(ctx context.Context, w *writer) error {
	head := make([]byte, magicSize)
	p := i.source.read(ctx, 0, -1)
	n, err := fill(p, head)
	_ = p.Close()
	if err != nil && err != io.EOF {
		return err
	}
	head = head[:n]
	switch how := magic.PackingOf(head); {
	case how != "":
		return fmt.Errorf("%s is packed with %s; image2disk unpacks a raw image of that kind", i.source, how)
	case !bytes.HasPrefix(head, []byte(qcow2.Magic)):
		return i.stream(ctx, w)
	case i.source.size < 0:
		return fmt.Errorf("%s: the server does not say how large it is", i.source)
	}
	q := &converter{writer: w, source: i.source}
	if i.sum != nil {
		if err := q.check(ctx, i.sum); err != nil {
			return err
		}
	}
	return q.convert(ctx)
}

// converter is the writing of a qcow2 image.
type converter struct {
	*writer
	source *source
	sums   [][sha256.Size]byte // of the blocks of the file; nil: not known
}

// Sizes in bytes.
const (
	blockSize   = 1 << 20  // of the file, fetched at once
	segmentSize = 64 << 20 // of the disk, written by one goroutine
	blocksKept  = 6
)

// check fetches the whole file, and remembers the sums of its blocks.
func (q *converter) check(ctx context.Context, want []byte) error {
	q.meter.stage.Store("check")
	whole := sha256.New()
	file := q.source.read(ctx, 0, -1)
	defer file.Close()
	for block := make([]byte, blockSize); ; {
		n, err := fill(file, block)
		if err != nil && err != io.EOF {
			return err
		}
		_, _ = whole.Write(block[:n])
		q.sums = append(q.sums, sha256.Sum256(block[:n]))
		if err == io.EOF {
			break
		}
	}
	if sum := whole.Sum(nil); !bytes.Equal(sum, want) {
		return fmt.Errorf("the SHA-256 of %s is %x, and should be %x", q.source, sum, want)
	}
	q.meter.stage.Store("write")
	return nil
}

// convert writes the disk.
func (q *converter) convert(ctx context.Context) error {
	first, err := q.open(ctx)
	if err != nil {
		return err
	}
	size := first.disk.Size()
	if err := q.fits(size); err != nil {
		return err
	}
	q.meter.total.Store(size)
	head := make([]byte, min(headSize, size))
	if _, err := first.disk.ReadAt(head, 0); err != nil {
		return first.explain(err)
	}
	if err := q.beginWith(ctx, head); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range workers(blocksKept * blockSize) {
		group.Go(func() error { return q.work(ctx, size, &next) })
	}
	return group.Wait()
}

// work writes one segment of the disk after the other until none is left.
func (q *converter) work(ctx context.Context, size int64, next *atomic.Int64) error {
	r, err := q.open(ctx)
	if err != nil {
		return err
	}
	b, err := newBuffer(pieceSize)
	if err != nil {
		return err
	}
	defer b.free()
	for {
		at := next.Add(segmentSize) - segmentSize
		if at >= size {
			return nil
		}
		for end := min(at+segmentSize, size); at < end; {
			n, err := q.extent(ctx, r, b, at, end-at)
			if err != nil {
				return r.explain(err)
			}
			at += n
		}
	}
}

// extent writes what the disk has at a place, at most n bytes of it, and returns how
// many.
func (q *converter) extent(ctx context.Context, r *remote, b buffer, at, n int64) (int64, error) {
	n, zeros, err := r.disk.Extent(at, n)
	if err != nil {
		return 0, err
	}
	if zeros {
		if err := q.zero(ctx, at, n); err != nil {
			return 0, err
		}
		q.meter.skipped.Add(n)
		return n, nil
	}
	p := b[:min(n, int64(len(b)))]
	if _, err := r.disk.ReadAt(p, at); err != nil {
		return 0, err
	}
	return int64(len(p)), q.place(ctx, p, at)
}

// remote is a file on a server that is read at any place, by one goroutine. It keeps
// the blocks that were read last: the tables of an image are read in small pieces.
type remote struct {
	ctx    context.Context
	source *source
	sums   [][sha256.Size]byte
	blocks []block // the last one used first
	disk   *qcow2.Disk
}

type block struct {
	number int64
	bytes  []byte
}

func (q *converter) open(ctx context.Context) (*remote, error) {
	r := &remote{ctx: ctx, source: q.source, sums: q.sums}
	var err error
	if r.disk, err = qcow2.Open(r, q.source.size); err != nil {
		return nil, r.explain(err)
	}
	return r, nil
}

// explain says of what an error of reading is. A cancel is no error of the image.
func (r *remote) explain(err error) error {
	if cause := context.Cause(r.ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%s: %w", r.source, err)
}

// ReadAt reads from the blocks.
func (r *remote) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		if at >= r.source.size {
			return n, io.EOF
		}
		b, err := r.block(at / blockSize)
		if err != nil {
			return n, err
		}
		k := copy(p[n:], b[at%blockSize:])
		n, at = n+k, at+int64(k)
	}
	return n, nil
}

// block is a block of the file, fetched if it is none of the last.
func (r *remote) block(number int64) ([]byte, error) {
	i := slices.IndexFunc(r.blocks, func(b block) bool { return b.number == number })
	if i >= 0 {
		b := r.blocks[i]
		copy(r.blocks[1:], r.blocks[:i])
		r.blocks[0] = b
		return b.bytes, nil
	}
	memory := []byte(nil)
	if len(r.blocks) == blocksKept {
		memory = r.blocks[blocksKept-1].bytes[:blockSize]
		r.blocks = r.blocks[:blocksKept-1]
	} else {
		memory = make([]byte, blockSize)
	}
	at := number * blockSize
	memory = memory[:min(blockSize, r.source.size-at)]
	if err := r.fetch(memory, number); err != nil {
		return nil, err
	}
	r.blocks = slices.Insert(r.blocks, 0, block{number, memory})
	return memory, nil
}

// fetch fetches a block, again if it is not what it was when the whole was checked.
func (r *remote) fetch(b []byte, number int64) error {
	for fetch := 1; ; fetch++ {
		if err := r.source.readAt(r.ctx, b, number*blockSize); err != nil {
			return err
		}
		if r.sums == nil || sha256.Sum256(b) == r.sums[number] {
			return nil
		}
		if fetch == maxFetches {
			return errors.New("it is not what it was when its SHA-256 was checked")
		}
	}
}
