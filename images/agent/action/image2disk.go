package action

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"dragonfly/images/agent/partition"
	"dragonfly/images/frame"
	"dragonfly/images/magic"
	"dragonfly/images/qcow2"
)

// image2disk writes the image at IMG_URL to DEST_DISK while it is fetched. A raw
// image may be packed with zstd, gzip, xz or bzip2, and COMPRESSED has to say
// whether it is: how it begins is what counts. IMG_SHA256, which only this agent
// reads, is the SHA-256 of the file at IMG_URL.
func image2disk(ctx context.Context, env *Env) error {
	i, device, err := env.image()
	if err != nil {
		return err
	}
	return i.write(ctx, env, device)
}

// imageVars are what every action that writes an image reads: the disk, where the
// image is, and whether it is packed.
func (e *Env) imageVars() (device, address string, packed bool, err error) {
	var errs [3]error
	device, errs[0] = e.must("DEST_DISK")
	address, errs[1] = e.must("IMG_URL")
	packed, errs[2] = e.flag("COMPRESSED", false)
	return device, address, packed, errors.Join(errs[:]...)
}

// image is the image at IMG_URL, a file, and the disk that it is written to.
func (e *Env) image() (i image, device string, err error) {
	device, address, packed, err := e.imageVars()
	if err != nil {
		return i, "", err
	}
	i.packed = packed
	if i.sum, err = e.sum("IMG_SHA256"); err != nil {
		return i, "", err
	}
	i.source, err = e.newSource(address)
	return i, device, err
}

// image is what is written, and what is known of it.
type image struct {
	source *source
	packed bool   // COMPRESSED
	sum    []byte // SHA-256 of the file; nil: not known
}

// sum is a SHA-256 in hexadecimal, with or without "sha256:" before it.
func (e *Env) sum(name string) ([]byte, error) {
	value := e.Vars[name]
	if value == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(value, "sha256:"))
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%s is %q; want a SHA-256, which is %d hexadecimal digits", name, value, 2*sha256.Size)
	}
	return sum, nil
}

// write writes the image to a disk, whichever of ours it is.
func (i image) write(ctx context.Context, env *Env, device string) error {
	put := i.stream
	if name, ok := frameName(i.source.url); ok {
		put = func(ctx context.Context, w *writer) error { return i.chunks(ctx, w, name) }
	}
	return i.writeWith(ctx, env, device, put)
}

// writeWith lets put write the image to a disk.
func (i image) writeWith(ctx context.Context, env *Env, device string, put func(context.Context, *writer) error) error {
	t, err := openTarget(env, device)
	if err != nil {
		return err
	}
	defer t.Close()
	i.source.summed = i.sum != nil
	w := &writer{target: t, meter: newMeter(env, i.source, "write")}
	stop, err := w.meter.start()
	if err != nil {
		return err
	}
	defer stop()
	return w.finish(ctx, put(ctx, w))
}

// finish makes the disk what it is to be, or says what it is now.
func (w *writer) finish(ctx context.Context, err error) error {
	if err == nil {
		w.meter.stage.Store("finish")
		err = w.seal()
	}
	if err == nil {
		if err := w.reread(ctx); err != nil {
			return fmt.Errorf("%s has the whole image, but: %w", w.device, err)
		}
		p := w.meter.progress()
		w.env.logf("%s has the image: %s written, %s of zeros, %s fetched", w.device, short(p.Written), short(p.Skipped), short(p.Fetched))
		return nil
	}
	if !w.begun {
		return fmt.Errorf("%w; nothing was written to %s", err, w.device)
	}
	if spoil := w.spoil(); spoil != nil {
		return fmt.Errorf("%w; %s has a part of the image and must not be booted: %w", err, w.device, spoil)
	}
	return fmt.Errorf("%w; %s has a part of the image, which is no use, and no partition table, so that it does not boot", err, w.device)
}

// frameName is the name in the address of an image of package frame:
// .../NAME.img.zst.
func frameName(address string) (frame.Name, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return frame.Name{}, false
	}
	base, ok := strings.CutSuffix(path.Base(u.Path), ".img.zst")
	name, err := frame.ParseName(base)
	return name, ok && err == nil
}

// stream writes an image that comes in one piece.
func (i image) stream(ctx context.Context, w *writer) error {
	if i.sum == nil {
		w.env.logf("no sum of %s is known (IMG_SHA256): a raw image that is shorter than it should be, or has other bytes, is not told from a good one; of a packed one, what its packing checks is checked", i.source)
	}
	group, ctx := errgroup.WithContext(ctx)
	file := readAhead(ctx, i.source.read(ctx, 0, -1), sha256.New())
	defer file.stop()
	raw, closeRaw, err := i.unpack(w, file)
	if err != nil {
		return err
	}
	defer closeRaw()
	size, err := w.stream(ctx, group, raw, func(head []byte) error { return w.beginWith(ctx, head) })
	if err != nil {
		return err
	}
	sum, err := file.rest()
	switch {
	case err != nil:
		return err
	case i.sum != nil && !bytes.Equal(sum, i.sum):
		return fmt.Errorf("the SHA-256 of %s is %x, and should be %x", i.source, sum, i.sum)
	case size%512 != 0:
		return fmt.Errorf("%s has %d bytes when it is unpacked: no image of a disk, which has whole sectors of 512", i.source, size)
	case i.sum == nil:
		return w.complete(size)
	}
	return nil
}

// complete says that an image of size bytes, of which no sum is known, is the
// beginning of a larger one: the partitions tell, if there are any.
func (w *writer) complete(size int64) error {
	table, err := partition.ReadSector(w, w.size, w.sector)
	if err != nil {
		return nil // it has none, or none that could tell
	}
	if last, ok := table.Last(); ok && last.End() > size {
		return fmt.Errorf("%w: the image has %s and its partition %d ends at %d, so it is cut", io.ErrUnexpectedEOF, exact(size), last.Number, last.End())
	}
	return nil
}

// unpack finds out how the image is packed, and unpacks it.
func (i image) unpack(w *writer, file *ahead) (io.Reader, func(), error) {
	head, err := file.peek(magicSize)
	if err != nil {
		return nil, nil, err
	}
	how, size := magic.PackingOf(head), i.source.size
	switch {
	case magic.Stranger(head) == magic.WebPage:
		return nil, nil, fmt.Errorf("%s is a web page and no image: it begins with %q", i.source, head)
	case how != "" && !i.packed:
		return nil, nil, i.notSaid(how)
	case how == "" && i.packed:
		return nil, nil, fmt.Errorf("COMPRESSED is true, and %s is not packed with zstd, gzip, xz or bzip2: it begins with %x", i.source, head[:min(6, len(head))])
	case how == "":
		w.meter.total.Store(max(0, size))
	case how == magic.Zstd:
		size = zstdSize(head)
	default:
		size = 0
	}
	if err := w.fits(size); err != nil || how == "" {
		return file, func() {}, err
	}
	raw, closeRaw, err := openPacked(how, file)
	if err != nil {
		return nil, nil, fmt.Errorf("unpack %s: %w", i.source, whole(err))
	}
	return &named{raw, "unpack " + i.source.String()}, closeRaw, nil
}

// notSaid says that an image is packed.
func (i image) notSaid(how magic.Packing) error {
	return fmt.Errorf("%s is packed with %s, and COMPRESSED does not say so; set it to true", i.source, how)
}

// named says of what the errors of a reader are.
type named struct {
	io.Reader
	doing string
}

func (n *named) Read(p []byte) (int, error) {
	m, err := n.Reader.Read(p)
	return m, n.name(err)
}

// WriteTo lets a reader write that can: it may know of holes.
func (n *named) WriteTo(w io.Writer) (int64, error) {
	m, err := io.Copy(w, n.Reader)
	return m, n.name(err)
}

func (n *named) name(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("%s: %w", n.doing, err)
}

// beginWith begins with a disk, if what the image begins with can be right on it.
func (w *writer) beginWith(ctx context.Context, head []byte) error {
	if err := w.looksRight(head); err != nil {
		return err
	}
	return w.begin(ctx)
}

// looksRight says why what an image begins with cannot be right on this disk.
func (w *writer) looksRight(head []byte) error {
	if len(head) == 0 {
		return errors.New("the image is empty")
	}
	what := magic.Stranger(head)
	switch {
	case bytes.HasPrefix(head, []byte(qcow2.Magic)):
		what = "a qcow2 image, which qemuimg2disk writes"
	case what == magic.Tar:
		what += ", which archive2disk unpacks"
	}
	if what != "" {
		return fmt.Errorf("the image is no raw one: it is %s", what)
	}
	if how := magic.PackingOf(head); how != "" {
		return fmt.Errorf("what was unpacked is packed again, with %s", how)
	}
	const gpt = "EFI PART" // at the second sector
	at := func(sector int64) bool {
		return int64(len(head)) > sector && bytes.HasPrefix(head[sector:], []byte(gpt))
	}
	for _, sector := range []int64{512, 4096} {
		if sector != w.sector && at(sector) && !at(w.sector) {
			return fmt.Errorf("the image has partitions for sectors of %d bytes, and those of %s have %d", sector, w.device, w.sector)
		}
	}
	return nil
}
