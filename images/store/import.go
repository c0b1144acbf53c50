package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/images/frame"
	"dragonfly/registry"
)

// importImage fetches a file, checks it and makes an image of it.
func (s *Store) importImage(ctx context.Context, j *job) (registry.Image, error) {
	want, err := s.expect(ctx, j)
	if err != nil {
		return registry.Image{}, err
	}
	if image, same, ok := s.withSum(want); ok {
		there, err := s.change(image.Name, func(i *registry.Image) {
			i.Origins = withOrigin(i.Origins, registry.ImageOrigin{URL: j.ask.Source.URL, SHA256: same.SHA256, SHA512: same.SHA512, Checked: want.checked, At: time.Now().UTC()})
		})
		if there || err != nil { // not deleted meanwhile
			return image, err
		}
	}
	origin, err := s.fetchFile(ctx, j, want)
	if err != nil {
		return registry.Image{}, err
	}
	return s.convertFile(ctx, j, origin)
}

// withSum is an image that came from a file with that sum, and where that came from.
func (s *Store) withSum(want expected) (registry.Image, registry.ImageOrigin, bool) {
	sum := hex.EncodeToString(want.sum)
	for _, image := range s.List() {
		for _, origin := range image.Origins {
			if sum != "" && image.Damage == "" && (origin.SHA256 == sum || origin.SHA512 == sum) {
				return image, origin, true
			}
		}
	}
	return registry.Image{}, registry.ImageOrigin{}, false
}

// errSum is of a file that is not the one it should be.
var errSum = errors.New("the file is not the one that was expected")

// fetchFile fetches the file of a job and checks it. A file that came in pieces and
// is wrong is fetched once more: it may have changed in between.
func (s *Store) fetchFile(ctx context.Context, j *job, want expected) (registry.ImageOrigin, error) {
	at := &place{job: j, among: s.fetching}
	if err := at.take(ctx); err != nil {
		return registry.ImageOrigin{}, err
	}
	defer at.leave()
	for again := true; ; again = false {
		f := &fetch{store: s, url: j.ask.Source.URL, dir: j.dir, summed: want.sum != nil, rest: at.rest,
			progress: func(done, total int64) { j.report("fetching", done, total) }}
		if err := f.run(ctx); err != nil {
			return registry.ImageOrigin{}, err
		}
		origin, err := s.check(ctx, j, want)
		if err == nil || !errors.Is(err, errSum) {
			return origin, err
		}
		if err := dropFile(j.dir); err != nil {
			return origin, err
		}
		if !again || !f.resumed {
			return origin, err
		}
	}
}

// dropFile removes the file of a job, so that nothing goes on from it.
func dropFile(dir string) error {
	return errors.Join(removeIfThere(filepath.Join(dir, fileName)), removeIfThere(filepath.Join(dir, fetchedName)),
		removeIfThere(filepath.Join(dir, imageName)))
}

// check reads the file of a job and compares its sum, if there is one to compare.
func (s *Store) check(ctx context.Context, j *job, want expected) (origin registry.ImageOrigin, err error) {
	file, err := os.Open(filepath.Join(j.dir, fileName))
	if err != nil {
		return origin, err
	}
	defer file.Close()
	in, err := newCounted(ctx, file)
	if err != nil {
		return origin, err
	}
	sum, other := sha256.New(), want.newHash()
	all := io.MultiWriter(sum, &reporting{func() { j.report("checking", in.read.Load(), in.size) }})
	if want.sum != nil && other.Size() != sum.Size() {
		all = io.MultiWriter(all, other)
	} else {
		other = sum
	}
	if _, err := io.CopyBuffer(all, struct{ io.Reader }{in}, make([]byte, 1<<20)); err != nil {
		return origin, err
	}
	return originOf(j.ask.Source.URL, want, sum, other)
}

// originOf compares what a file is with what it should be.
func originOf(url string, want expected, sum, other hash.Hash) (registry.ImageOrigin, error) {
	origin := registry.ImageOrigin{URL: url, SHA256: hex.EncodeToString(sum.Sum(nil)), Checked: want.checked, At: time.Now().UTC()}
	got := other.Sum(nil)
	if other != sum {
		origin.SHA512 = hex.EncodeToString(got)
	}
	if want.sum != nil && !bytes.Equal(got, want.sum) {
		return origin, fmt.Errorf("%w: its sum is %x and not %x", errSum, got, want.sum)
	}
	return origin, nil
}

// reporting is a writer that only takes note that there is something.
type reporting struct{ report func() }

func (r *reporting) Write(p []byte) (int, error) {
	r.report()
	return len(p), nil
}

// convertFile makes an image of the file of a job, and publishes it. A file that is
// no image is not kept; one for which there was no room is.
func (s *Store) convertFile(ctx context.Context, j *job, origin registry.ImageOrigin) (registry.Image, error) {
	at := &place{job: j, among: s.converting}
	if err := at.take(ctx); err != nil {
		return registry.Image{}, err
	}
	defer at.leave()
	c := &converter{store: s, dir: j.dir, report: j.report}
	image, err := c.convert(ctx, j.ask.Source.Format)
	if err != nil {
		if _, full := errors.AsType[*registry.SpaceError](err); full || ctx.Err() != nil {
			return image, errors.Join(err, removeIfThere(filepath.Join(j.dir, imageName)))
		}
		return image, errors.Join(fmt.Errorf("%s: %w", titleOf(j.ask.Source), err), dropFile(j.dir))
	}
	image.Title, image.Origins = titleOf(j.ask.Source), []registry.ImageOrigin{origin}
	return s.publish(filepath.Join(j.dir, imageName), image)
}

// verifyImage reads all of an image. What it finds is kept.
func (s *Store) verifyImage(ctx context.Context, j *job) (registry.Image, error) {
	at := &place{job: j, among: s.converting}
	if err := at.take(ctx); err != nil {
		return registry.Image{}, err
	}
	defer at.leave()
	image, err := s.Get(j.snapshot().Image)
	if err != nil {
		return image, err
	}
	err = s.verifyFile(ctx, image, j.report)
	if err != nil && !isDamage(err) {
		return image, err
	}
	_, kept := s.change(image.Name, func(i *registry.Image) {
		i.VerifiedAt, i.Damage = time.Now().UTC(), ""
		if err != nil {
			i.Damage = err.Error()
		}
	})
	return image, errors.Join(err, kept)
}

// isDamage reports whether an error is of a file, and not of our trouble to read it.
func isDamage(err error) bool {
	for _, of := range []error{frame.ErrMismatch, frame.ErrInvalid, io.ErrUnexpectedEOF, fs.ErrNotExist, unix.EIO} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

func (s *Store) verifyFile(ctx context.Context, image registry.Image, report report) error {
	name, err := frame.ParseName(image.Name)
	if err != nil {
		return err
	}
	file, err := os.Open(s.path(name))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	index, err := frame.Open(file, info.Size(), name)
	if err != nil {
		return err
	}
	return index.Verify(ctx, file, func(done int64) { report("verifying", done, index.Size) })
}
