package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// What is read of a file that says it is an archive.
const (
	maxManifest = 64 << 10
	maxWindow   = 64 << 20 // memory, whatever the file asks for
)

// Read reads an archive to its end and checks all of it. each is given the files one by
// one, and need not read them; nil: they are only checked. What each was given is good
// only when Read returns without an error: [ErrDamaged], or what each or r returned.
func Read(r io.Reader, each func(File, io.Reader) error) (Manifest, error) {
	unpacked, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<40), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return Manifest{}, err
	}
	defer unpacked.Close()
	in := tar.NewReader(unpacked)
	m, err := readManifest(in)
	if err != nil {
		return Manifest{}, err
	}
	for _, f := range m.Files {
		if err := readFile(in, f, each); err != nil {
			return Manifest{}, err
		}
	}
	if h, err := in.Next(); err == nil {
		return Manifest{}, damaged("%.80q is not in its manifest", h.Name)
	} else if err != io.EOF {
		return Manifest{}, damaged("%w", err)
	}
	// The tar has ended, and what packs it may not have: a cut there is one, too.
	if rest, err := io.Copy(io.Discard, io.LimitReader(unpacked, maxManifest)); err != nil || rest == maxManifest {
		return Manifest{}, damaged("it does not end where its files do (%v)", err)
	}
	return m, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

func readManifest(in *tar.Reader) (m Manifest, err error) {
	h, err := in.Next()
	if err != nil {
		return m, damaged("%w", err)
	}
	if h.Name != ManifestName || h.Size > maxManifest {
		return m, damaged("it begins with %.80q, and not with %s", h.Name, ManifestName)
	}
	if err := json.NewDecoder(in).Decode(&m); err != nil {
		return m, damaged("%s: %w", ManifestName, err)
	}
	if m.Format > Format {
		return m, fmt.Errorf("the backup has format %d and this program knows %d: it is of a newer dragonfly (%.40q); use that one", m.Format, Format, m.Version)
	}
	found := make([]string, 0, len(m.Files))
	for _, f := range m.Files {
		found = append(found, f.Name)
	}
	if !slices.Equal(found, names) {
		return m, damaged("it has the files %.200q; want %q", found, names)
	}
	return m, nil
}

// readFile reads the next file, which has to be f.
func readFile(in *tar.Reader, f File, each func(File, io.Reader) error) error {
	h, err := in.Next()
	if err != nil {
		return damaged("%s: %w", f.Name, err)
	}
	if h.Name != f.Name || h.Typeflag != tar.TypeReg || h.Size != f.Bytes {
		return damaged("%.80q of %d bytes stands where %s of %d bytes should", h.Name, h.Size, f.Name, f.Bytes)
	}
	sum, source := sha256.New(), &noted{from: in}
	checked := io.TeeReader(source, sum)
	if each != nil {
		if err := each(f, checked); source.err != nil {
			return damaged("%s: %w", f.Name, source.err)
		} else if err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, checked); err != nil {
		return damaged("%s: %w", f.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return damaged("%s has the SHA-256 %s, and the manifest says %.64q", f.Name, got, f.SHA256)
	}
	return nil
}

// noted remembers why the archive could not be read, so that this is told from what
// became of the file.
type noted struct {
	from io.Reader
	err  error
}

// Read is [io.Reader.Read].
func (n *noted) Read(p []byte) (int, error) {
	read, err := n.from.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return read, err
}
