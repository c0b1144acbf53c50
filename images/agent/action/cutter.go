package action

import (
	"context"
	"io"
)

// piece is a part of an image on its way to the disk: n bytes of data, or a hole.
type piece struct {
	data buffer
	n    int
	hole int64
	at   int64
}

// cutter cuts an image into pieces. It is a [sparse.Writer] of package sparse.
type cutter struct {
	*writer
	ctx   context.Context
	first func([]byte) error // is shown the first piece
	free  chan buffer
	full  chan piece

	size int64  // of what was cut
	now  buffer // is being filled; nil: none
	n    int    // bytes in it
	err  error  // the first that is not of what is read
}

// copy cuts all that r has.
func (c *cutter) copy(r io.Reader) error {
	defer close(c.full)
	_, err := io.Copy(c, r)
	if c.err != nil {
		return c.err
	}
	if err != nil {
		return err
	}
	return c.cut()
}

// ReadFrom cuts what r has. It is what [io.Copy] uses where r cannot write by itself.
func (c *cutter) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if err := c.begin(); err != nil {
			return n, err
		}
		m, err := fill(r, c.now[c.n:])
		c.n, n = c.n+m, n+int64(m)
		if err != nil && err != io.EOF {
			return n, err
		}
		if failed := c.cut(); failed != nil || err == io.EOF {
			return n, failed
		}
	}
}

// Write cuts p.
func (c *cutter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := c.begin(); err != nil {
			return n, err
		}
		m := copy(c.now[c.n:], p[n:])
		c.n, n = c.n+m, n+m
		if c.n < len(c.now) {
			break
		}
		if err := c.cut(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Hole passes n zeros over. They begin and end with a page, which direct I/O takes, and
// not with the image, whose beginning is looked at.
func (c *cutter) Hole(n int64) error {
	at := c.size + int64(c.n)
	lead := roundUp(max(at, 1), pageSize) - at
	if n-lead < zeroRun {
		return c.zeros(n)
	}
	if err := c.zeros(lead); err != nil {
		return err
	}
	if c.n > 0 {
		if err := c.cut(); err != nil {
			return err
		}
	}
	tail := (n - lead) % pageSize
	if err := c.send(piece{hole: n - lead - tail, at: c.size}); err != nil {
		return err
	}
	return c.zeros(tail)
}

// zeros writes n zeros.
func (c *cutter) zeros(n int64) error {
	for ; n > 0; n -= zeroBlock {
		if _, err := c.Write(zeros[:min(n, zeroBlock)]); err != nil {
			return err
		}
	}
	return nil
}

// begin gets memory for a piece.
func (c *cutter) begin() error {
	if c.now != nil {
		return nil
	}
	select {
	case c.now = <-c.free:
		return nil
	case <-c.ctx.Done():
		return c.fail(context.Cause(c.ctx))
	}
}

// cut sends what has been gathered. It is called at the end, too.
func (c *cutter) cut() error {
	if c.size == 0 {
		if err := c.first(c.now[:c.n]); err != nil {
			return c.fail(err)
		}
	}
	if c.n == 0 {
		return nil
	}
	p := piece{data: c.now, n: c.n, at: c.size}
	c.now, c.n = nil, 0
	return c.send(p)
}

// send sends a piece to be written.
func (c *cutter) send(p piece) error {
	size := p.at + int64(p.n) + p.hole
	if err := c.room(size); err != nil {
		return c.fail(err)
	}
	select {
	case c.full <- p:
		c.size = size
		return nil
	case <-c.ctx.Done():
		return c.fail(context.Cause(c.ctx))
	}
}

// fail keeps an error that is not of what is read.
func (c *cutter) fail(err error) error {
	c.err = err
	return err
}

// place writes pieces until there are no more.
func (c *cutter) place() error {
	for p := range c.full {
		if p.hole > 0 {
			if err := c.zero(c.ctx, p.at, p.hole); err != nil {
				return err
			}
			c.meter.skipped.Add(p.hole)
			continue
		}
		if err := c.writer.place(c.ctx, p.data[:p.n], p.at); err != nil {
			return err
		}
		c.free <- p.data
	}
	return nil
}
