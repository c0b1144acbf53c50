package store

import (
	"context"
	"io"
	"os"
	"sync/atomic"
)

// cancellable reads for as long as its context lasts.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// counted reads a file, and says how much of it was read. It may be asked while
// another goroutine reads.
type counted struct {
	cancellable
	size int64
	read atomic.Int64
}

func newCounted(ctx context.Context, file *os.File) (*counted, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return &counted{cancellable: cancellable{ctx, file}, size: info.Size()}, nil
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.cancellable.Read(p)
	c.read.Add(int64(n))
	return n, err
}
