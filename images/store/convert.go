package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dragonfly/images/frame"
	"dragonfly/images/qcow2"
	"dragonfly/registry"
)

// More names in the directory of a job.
const (
	diskName  = "disk"  // a qcow2 disk that was packed
	imageName = "image" // what becomes of it
)

// report is told of a stage how far it is; a total that is not known is 0.
type report func(stage string, done, total int64)

// converter makes an image of the file in the directory of a job.
type converter struct {
	store    *Store
	dir      string
	report   report
	unpacked *os.File // of a packed qcow2 disk
}

// convert makes the image. It is in imageName then, and on the disk.
func (c *converter) convert(ctx context.Context, said string) (_ registry.Image, err error) {
	var image registry.Image
	file, err := os.Open(filepath.Join(c.dir, fileName))
	if err != nil {
		return image, err
	}
	defer file.Close()
	defer func() {
		if c.unpacked != nil {
			c.unpacked.Close()
		}
	}()
	in, err := newCounted(ctx, file)
	if err != nil {
		return image, err
	}
	o, err := open(in, said)
	if err != nil {
		return image, err
	}
	disk, size, err := c.disk(ctx, o, file, in)
	if err != nil {
		return image, err
	}
	index, err := c.pack(disk, size, in)
	if err != nil {
		return image, fmt.Errorf("%s: %w", o.format, err)
	}
	if least := diskSize(o.head); o.format != "qcow2" && least > index.Size {
		return image, fmt.Errorf("%w: it has %d bytes, and its partition table is for a disk of %d at least", io.ErrUnexpectedEOF, index.Size, least)
	}
	data, _ := index.Data()
	return registry.Image{Name: index.Name.String(), Format: o.format, Size: index.Size, Data: data, Packed: index.FileSize(),
		SHA256: hex.EncodeToString(index.Sum[:]), ImportedAt: time.Now().UTC()}, nil
}

// disk is the raw disk of a file, and its size where that is known.
func (c *converter) disk(ctx context.Context, o *opened, file *os.File, in *counted) (io.Reader, int64, error) {
	switch {
	case o.format == "raw":
		return o, in.size, nil
	case o.format == "qcow2":
		return openQcow2(ctx, file)
	case strings.HasPrefix(o.format, "qcow2"):
		if err := c.unpack(o, in); err != nil {
			return nil, 0, err
		}
		return openQcow2(ctx, c.unpacked)
	}
	return o, 0, nil
}

// openQcow2 is the disk in a qcow2 file, from its start to its end.
func openQcow2(ctx context.Context, file *os.File) (io.Reader, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	disk, err := qcow2.Open(file, info.Size())
	if err != nil {
		return nil, 0, err
	}
	return &cancellable{ctx, io.NewSectionReader(disk, 0, disk.Size())}, disk.Size(), nil
}

// unpack puts a packed qcow2 disk into a file, since it is not read in order. The
// file has no name, and is gone when it is closed.
func (c *converter) unpack(o *opened, in *counted) (err error) {
	path := filepath.Join(c.dir, diskName)
	if c.unpacked, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	to, buf := &careful{store: c.store, file: c.unpacked}, make([]byte, 1<<20)
	for size := int64(0); ; {
		n, err := o.Read(buf)
		if size += int64(n); size > frame.MaxImageSize {
			err = fmt.Errorf("it unpacks to more than %d bytes", int64(frame.MaxImageSize))
		}
		if _, failed := to.Write(buf[:n]); failed != nil {
			err = failed
		}
		c.report("unpacking", in.read.Load(), in.size)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pack writes the image.
func (c *converter) pack(disk io.Reader, size int64, in *counted) (*frame.Index, error) {
	out, err := os.OpenFile(filepath.Join(c.dir, imageName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	index, err := frame.Pack(&careful{store: c.store, file: out}, disk, func(done int64) {
		if size > 0 {
			c.report("converting", done, size)
		} else {
			c.report("converting", in.read.Load(), in.size)
		}
	})
	return index, errors.Join(err, out.Sync(), out.Close())
}
