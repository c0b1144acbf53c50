// Package packed keeps files of an agent image packed until a machine needs one
// of them.
//
// The kernel unpacks an initramfs before it starts the first program, whatever is
// in it. Drivers and firmware for every server are nine tenths of ours, and a
// virtual machine needs none of them: there unpacking was a third of the time from
// power-on to the agent. So what a virtual machine has lies in the initramfs as it
// is, and the rest in one archive beside it, which the agent unpacks at the first
// driver that it does not find.
//
// The archive is a tar compressed with zstd. Both ends are here.
package packed

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// Drivers is where the archive lies in an agent image; its names are relative to
// the root.
const Drivers = "lib/drivers.tar.zst"

// Tools is where an agent image says which archive of tools belongs to it: the
// SHA-256 of it in hexadecimal.
const Tools = "lib/tools.sha256"

// Roots is where the root certificates of an agent image are, in PEM, which is one of
// the places where crypto/x509 looks for them.
const Roots = "etc/ssl/certs/ca-certificates.crt"

// File is a regular file of mode 0644 (a program: 0755) or, with a Target, a
// symbolic link.
type File struct {
	Name    string // relative, with slashes
	Body    []byte
	Target  string
	Program bool
}

// Pack packs files in their order. The same files give the same bytes: there are
// no times and no owners.
func Pack(files []File) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: 0o644, Size: int64(len(f.Body)), Format: tar.FormatUSTAR}
		if f.Program {
			h.Mode = 0o755
		}
		if f.Target != "" {
			h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, f.Target, 0, 0o777
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
		if h.Size == 0 {
			continue
		}
		if _, err := w.Write(f.Body); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return Compress(archive.Bytes())
}

// Compress compresses an archive with zstd, as small as it gets and always to the
// same bytes.
func Compress(archive []byte) ([]byte, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1),
		// The checksum is for people; the kernel only skips it.
		zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	packed := encoder.EncodeAll(archive, nil)
	return packed, encoder.Close()
}

// Unpack writes the files of an archive below the directory root, over those that
// are there. Names that lead out of it are refused. What was written before an
// error stays.
func Unpack(archive io.Reader, root string) error {
	decoder, err := zstd.NewReader(archive)
	if err != nil {
		return wrapped(err)
	}
	defer decoder.Close()
	to, err := os.OpenRoot(root)
	if err != nil {
		return wrapped(err)
	}
	defer to.Close()
	for files := tar.NewReader(decoder); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, decoder) // up to the checksum
			return wrapped(err)
		}
		if err == nil {
			err = write(to, h, files)
		}
		if err != nil {
			return wrapped(err)
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("unpack: %w", err)
}

// write makes one file with the folders above it.
func write(root *os.Root, h *tar.Header, body io.Reader) error {
	if !filepath.IsLocal(h.Name) {
		return fmt.Errorf("%q leads out of the archive", h.Name)
	}
	if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(h.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, h.Name)
	case tar.TypeReg:
		f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|h.FileInfo().Mode().Perm()&0o111)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("%s is neither a file nor a link", h.Name)
}
