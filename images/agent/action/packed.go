package action

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"dragonfly/images/magic"
	"dragonfly/images/sparse"
)

// maxWindow is how far back a packed file may refer, in bytes, and so how much
// memory unpacking takes. It is what zstd -22 makes and zstd -d takes unasked.
const maxWindow = 128 << 20

// magicSize is how much of a file has to be seen to know it.
const magicSize = 32

// openPacked unpacks a file. What it returns beside that has to be called in the end.
func openPacked(how magic.Packing, r io.Reader) (io.Reader, func(), error) {
	open := map[magic.Packing]func(io.Reader) (io.Reader, func(), error){
		magic.Zstd: openZstd, magic.Gzip: openGzip, magic.XZ: openXZ, magic.Bzip2: openBzip2,
	}[how]
	return open(r)
}

func openZstd(r io.Reader) (io.Reader, func(), error) {
	d, err := sparse.NewZstd(r, maxWindow)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

func openGzip(r io.Reader) (io.Reader, func(), error) {
	d, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, whole(err)
	}
	return d, func() { _ = d.Close() }, nil
}

func openBzip2(r io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(r), func() {}, nil }

// openXZ looks at the first block before the memory for it is taken: its header may
// ask for any amount.
func openXZ(r io.Reader) (io.Reader, func(), error) {
	head := make([]byte, xz.HeaderLen+magicSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, whole(err)
	}
	if window := xzWindow(head[:n]); window > maxWindow {
		return nil, nil, fmt.Errorf("it was packed with a window of %s; at most %s can be unpacked here", exact(window), exact(maxWindow))
	}
	d, err := xz.NewReader(io.MultiReader(bytes.NewReader(head[:n]), r))
	return d, func() {}, err
}

// xzWindow is the size of the dictionary of the first block, in bytes; 0 where it
// cannot be told (https://tukaani.org/xz/xz-file-format.txt section 3.1: size of the
// header, flags, two optional sizes, then filters: id, size of properties,
// properties; LZMA2 is filter 0x21 with one byte).
func xzWindow(head []byte) int64 {
	if len(head) < xz.HeaderLen+2 {
		return 0
	}
	flags, rest := head[xz.HeaderLen+1], head[xz.HeaderLen+2:]
	for _, sized := range []bool{flags&0x40 != 0, flags&0x80 != 0} {
		for sized && len(rest) > 0 {
			sized, rest = rest[0]&0x80 != 0, rest[1:]
		}
	}
	if len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 {
		return 0
	}
	window, err := lzma.DecodeDictCap(rest[2])
	if err != nil {
		return 0
	}
	return window
}

// zstdSize is how large the first frame says that it is unpacked; 0 where it does
// not.
func zstdSize(head []byte) int64 {
	var h zstd.Header
	if h.Decode(head) != nil || h.Skippable || !h.HasFCS || h.FrameContentSize > 1<<62 {
		return 0
	}
	return int64(h.FrameContentSize)
}

// whole makes an end that comes too early a failure.
func whole(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
