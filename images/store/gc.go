package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dragonfly/images/frame"
	"dragonfly/registry"
	"dragonfly/registry/durable"
)

// Delete removes an image. One that somebody needs is only removed by force.
func (s *Store) Delete(ctx context.Context, name string, force bool) (registry.Image, error) {
	image, err := s.Get(name)
	if err != nil {
		return image, err
	}
	users, err := s.users(ctx, image)
	switch {
	case err != nil && !force:
		return image, err
	case len(users) > 0 && !force:
		return image, &registry.ImageError{Why: fmt.Sprintf("image %s is needed by %s; delete it by force if that may fail", image.Name, strings.Join(users, ", "))}
	}
	return image, s.remove(image)
}

func (s *Store) users(ctx context.Context, image registry.Image) ([]string, error) {
	if s.cfg.Users == nil {
		return nil, nil
	}
	return s.cfg.Users(ctx, image)
}

// remove removes an image: first what says that it is there. A request for it that is
// being answered goes on to its end, and the next one is refused.
func (s *Store) remove(image registry.Image) error {
	name, err := frame.ParseName(image.Name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := removeIfThere(s.metaPath(name)); err != nil {
		return err
	}
	delete(s.images, name)
	return errors.Join(removeIfThere(s.path(name)), durable.SyncDir(s.cfg.Dir))
}

// GC removes what nobody needs: images, files that are no image's, and what is left
// of imports that failed. A dry run only says what that is.
func (s *Store) GC(ctx context.Context, dryRun bool) (gone registry.ImageGC, err error) {
	gone.Images = []registry.Image{}
	for _, image := range s.List() {
		users, err := s.users(ctx, image)
		if err != nil {
			return gone, fmt.Errorf("who needs image %s: %w", image.Name, err) // in doubt, all stays
		}
		if len(users) > 0 {
			continue
		}
		gone.Images, gone.Bytes = append(gone.Images, image), gone.Bytes+image.Packed
	}
	if !dryRun {
		for _, image := range gone.Images {
			if err := s.remove(image); err != nil {
				return gone, err
			}
		}
	}
	rest, err := s.sweep(ctx, dryRun)
	gone.Bytes += rest
	return gone, err
}

// sweep removes files that are no image's, and failed imports. It says how many
// bytes they are.
func (s *Store) sweep(ctx context.Context, dryRun bool) (bytes int64, err error) {
	for _, job := range s.Jobs() {
		if job.State != registry.ImageJobFailed || job.Kind == registry.ImageVerify {
			continue
		}
		bytes += sizeOf(filepath.Join(s.cfg.Dir, workDir, job.ID))
		if !dryRun {
			err = errors.Join(err, s.Cancel(ctx, job.ID))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, failed := os.ReadDir(s.cfg.Dir)
	for _, entry := range entries {
		text, ok := strings.CutSuffix(entry.Name(), imageExt)
		name, bad := frame.ParseName(text)
		if _, known := s.images[name]; !ok || bad != nil || known {
			continue
		}
		path := filepath.Join(s.cfg.Dir, entry.Name())
		bytes += sizeOf(path)
		if !dryRun {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return bytes, errors.Join(err, failed)
}

// sizeOf is how many bytes a file has, or the files of a directory have.
func sizeOf(path string) (bytes int64) {
	files, err := os.ReadDir(path)
	if err != nil {
		files = nil
		if info, err := os.Stat(path); err == nil {
			return info.Size()
		}
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}
