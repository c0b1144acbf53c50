package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Source is a file to be archived. It is read twice: for its hash, which stands before
// it, and for itself.
type Source struct {
	Name string
	From io.ReadSeeker
}

// Write writes an archive: m, with the files of sources in it, and these. It errs where a
// source changed in between.
func Write(w io.Writer, m Manifest, sources ...Source) error {
	m.Format, m.Files = Format, nil
	for _, s := range sources {
		f, err := s.measure()
		if err != nil {
			return fmt.Errorf("read %s: %w", s.Name, err)
		}
		m.Files = append(m.Files, f)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	out := tar.NewWriter(packed)
	err = add(out, header(ManifestName, int64(len(text)), m.At), text)
	for i, s := range sources {
		if err == nil {
			err = s.archive(out, m.Files[i], m.At)
		}
	}
	if err != nil {
		return errors.Join(err, packed.Close())
	}
	return errors.Join(out.Close(), packed.Close())
}

// header is that of a file which its owner alone may read.
func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: at.Truncate(time.Second), Format: tar.FormatPAX}
}

func add(out *tar.Writer, h *tar.Header, text []byte) error {
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err := out.Write(text)
	return err
}

// measure reads the source to its end.
func (s Source) measure() (File, error) {
	sum := sha256.New()
	size, err := io.Copy(sum, s.From)
	if err == nil {
		_, err = s.From.Seek(0, io.SeekStart)
	}
	return File{Name: s.Name, Bytes: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

// archive writes the source, which must be as it was measured.
func (s Source) archive(out *tar.Writer, f File, at time.Time) error {
	if err := out.WriteHeader(header(f.Name, f.Bytes, at)); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(out, io.TeeReader(s.From, sum)); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s changed while it was read", f.Name)
	}
	return nil
}
