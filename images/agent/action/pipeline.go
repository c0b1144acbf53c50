package action

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// writer puts an image on a disk: from where it is known what it will be to where it
// is sealed.
type writer struct {
	*target
	meter *meter
}

// Sizes in bytes. What is on its way is bounded: ahead for what was fetched and is
// not unpacked, pieces for what was unpacked and is not written.
const (
	pieceSize  = 4 << 20
	pieces     = 4
	aheadSize  = 512 << 10
	aheadCount = 16
	// zeroBlock is the unit in which zeros are looked for, and zeroRun how many make
	// it worth telling the disk instead of writing them.
	zeroBlock = 64 << 10
	zeroRun   = 512 << 10
)

// stream writes what r has, from the start of the disk, and returns how much that
// was. Reading r, which unpacks, and writing what it gave go on at once; two
// goroutines write, for a disk that likes more than one request. Before the first
// write, first is called with the first piece of the image.
func (w *writer) stream(ctx context.Context, group *errgroup.Group, r io.Reader, first func([]byte) error) (size int64, err error) {
	memory, err := newBuffer(pieces * pieceSize)
	if err != nil {
		return 0, err
	}
	defer memory.free()
	c := &cutter{writer: w, ctx: ctx, first: first, free: make(chan buffer, pieces), full: make(chan piece, pieces)}
	for b := range slices.Chunk(memory, pieceSize) {
		c.free <- b
	}
	group.Go(func() error { return c.copy(r) })
	for range 2 {
		group.Go(c.place)
	}
	err = group.Wait()
	return c.size, err
}

// fill reads until b is full, or r has ended: [io.EOF] alone says so. It is not
// [io.ReadFull], whose end of a short piece looks like that of a broken file.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	if n == len(b) && err == io.EOF {
		err = nil // comes again
	}
	return n, err
}

// room says that the image turns out to be too large.
func (w *writer) room(size int64) error {
	if size <= w.size {
		return nil
	}
	return fmt.Errorf("the image has at least %s and %s (%s) only %s", exact(size), w.device, w.name, exact(w.size))
}

// place puts a piece of the image where it belongs. Long runs of zeros are not
// written; the disk is told.
func (w *writer) place(ctx context.Context, p []byte, at int64) error {
	for len(p) > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		data, hole := split(p)
		if err := w.write(p[:data], at); err != nil {
			return err
		}
		if err := w.zero(ctx, at+int64(data), int64(hole)); err != nil {
			return err
		}
		w.meter.written.Add(int64(data))
		w.meter.skipped.Add(int64(hole))
		p, at = p[data+hole:], at+int64(data+hole)
	}
	return nil
}

// split finds the first run of zeros in p that is long enough to be skipped: data
// bytes come before it and it has hole bytes.
func split(p []byte) (data, hole int) {
	run := 0 // where the zeros before i begin
	for i := 0; i < len(p); i += zeroBlock {
		block := p[i:min(i+zeroBlock, len(p))]
		if isZero(block) {
			continue
		}
		if i-run >= zeroRun {
			return run, i - run
		}
		run = i + len(block)
	}
	if len(p)-run >= zeroRun || run == 0 {
		return run, len(p) - run
	}
	return len(p), 0
}

var zeros [zeroBlock]byte

// isZero reports whether a block of at most zeroBlock bytes is all zeros.
func isZero(block []byte) bool { return bytes.Equal(block, zeros[:len(block)]) }

// ahead reads a file before it is asked, and makes a sum of all of it. One goroutine
// reads from it.
type ahead struct {
	full chan []byte
	free chan []byte
	now  []byte // what is left of all
	all  []byte
	sum  hash.Hash
	err  error // why it ended; valid once full is closed
	stop func()
}

func readAhead(ctx context.Context, r io.Reader, sum hash.Hash) *ahead {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{full: make(chan []byte, aheadCount), free: make(chan []byte, aheadCount), sum: sum}
	for range aheadCount {
		a.free <- make([]byte, aheadSize)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(a.full)
		a.err = a.fill(ctx, r)
	})
	a.stop = func() {
		cancel()
		wg.Wait()
	}
	return a
}

func (a *ahead) fill(ctx context.Context, r io.Reader) error {
	for {
		var b []byte
		select {
		case b = <-a.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		n, err := fill(r, b)
		_, _ = a.sum.Write(b[:n])
		a.full <- b[:n]
		if err != nil {
			return err
		}
	}
}

// peek shows how the file begins, before anything else is read of it: at most n
// bytes.
func (a *ahead) peek(n int) ([]byte, error) {
	if _, err := a.Read(nil); err != nil && err != io.EOF {
		return nil, err
	}
	return a.now[:min(n, len(a.now))], nil
}

// Read gives what was read ahead.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.now) == 0 {
		if a.all != nil {
			a.free <- a.all[:aheadSize]
			a.all = nil
		}
		b, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.now, a.all = b, b
	}
	n := copy(p, a.now)
	a.now = a.now[n:]
	return n, nil
}

// rest reads what is left, after all that was to be unpacked, and returns the sum of
// the whole file.
func (a *ahead) rest() (sum []byte, err error) {
	if _, err := io.Copy(io.Discard, a); err != nil {
		return nil, err
	}
	return a.sum.Sum(nil), nil
}

// workers is how many chunks of a size are worked on at once: enough for all cores,
// while some wait for the network and the disk, and no more than fit into the memory
// that an agent may take.
func workers(chunk int64) int {
	const memory = 48 << 20 // for the chunks, packed and not
	return max(1, min(runtime.NumCPU()+2, int(memory/(2*chunk))))
}
