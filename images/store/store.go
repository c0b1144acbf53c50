package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dragonfly/images/frame"
	"dragonfly/registry"
	"dragonfly/registry/durable"
)

// The ends of the names of files.
const (
	imageExt = ".img.zst"
	metaExt  = ".json"
)

// Config is where a store is and what it is told by others.
type Config struct {
	Dir string // is made where it is not there
	// Users says who needs an image, such as "operating system debian-12"; it is not
	// deleted then. Nil: nobody needs any.
	Users func(context.Context, registry.Image) ([]string, error)
	// Ended is told when a job has ended, or was cancelled. May be nil.
	Ended func()
	// Reserve is how many bytes of the file system are left to others.
	Reserve int64
	// Transport is what files are fetched over; nil: Go's own. It may refuse an address
	// with [registry.ErrForbidden], which is then not asked again.
	Transport *http.Transport
	Log       *slog.Logger
}

// Store is the images of one server. One process at a time has a directory.
type Store struct {
	cfg        Config
	client     *http.Client
	patience   patience
	queue      chan *job
	fetching   chan struct{} // a place for each that may fetch at once
	converting chan struct{}
	sent       counters

	mu     sync.Mutex
	images map[frame.Name]registry.Image
	jobs   map[string]*job
}

const (
	maxJobs     = 256 // that have not ended
	maxFetches  = 4   // at once; more would only share the line
	maxConverts = 1   // at once; one takes all cores
)

// Open opens the store of a directory. What was being imported when the last
// process ended goes on with [Store.Run].
func Open(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, client: newClient(cfg.Transport), patience: patient, queue: make(chan *job, maxJobs),
		fetching: make(chan struct{}, maxFetches), converting: make(chan struct{}, maxConverts),
		images: map[frame.Name]registry.Image{}, jobs: map[string]*job{}}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, workDir), 0o700); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), metaExt); ok {
			if err := s.load(name); err != nil {
				cfg.Log.Error("an image is left out", "image", name, "err", err)
			}
		}
	}
	return s, s.reloadJobs()
}

// Run carries out imports until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	var group errgroup.Group
	for {
		select {
		case j := <-s.queue:
			group.Go(func() error {
				s.run(ctx, j)
				return nil
			})
		case <-ctx.Done():
			return group.Wait()
		}
	}
}

// load reads what is known of an image.
func (s *Store) load(text string) error {
	name, err := frame.ParseName(text)
	if err != nil {
		return err
	}
	var image registry.Image
	if err := readJSON(s.metaPath(name), &image); err != nil {
		return err
	}
	info, err := os.Stat(s.path(name))
	switch {
	case err != nil:
		return err
	case image.Name != text:
		return fmt.Errorf("it says that it is %q", image.Name)
	case info.Size() != image.Packed && image.Damage == "":
		image.Damage = fmt.Sprintf("the file has %d bytes and not %d", info.Size(), image.Packed)
	}
	s.images[name] = image
	return nil
}

func (s *Store) path(name frame.Name) string { return filepath.Join(s.cfg.Dir, name.String()+imageExt) }

func (s *Store) metaPath(name frame.Name) string {
	return filepath.Join(s.cfg.Dir, name.String()+metaExt)
}

// List is all images, the latest first.
func (s *Store) List() []registry.Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]registry.Image, 0, len(s.images))
	for _, image := range s.images {
		list = append(list, image)
	}
	slices.SortFunc(list, func(a, b registry.Image) int {
		return cmp.Or(b.ImportedAt.Compare(a.ImportedAt), strings.Compare(a.Name, b.Name))
	})
	return list
}

// minPrefix is how much of a name is taken for it, where only one begins so.
const minPrefix = 6

// Get is the image of a name, or of the beginning of one.
func (s *Store) Get(name string) (registry.Image, error) {
	var found []registry.Image
	for _, image := range s.List() {
		if len(name) >= minPrefix && strings.HasPrefix(image.Name, name) {
			found = append(found, image)
		}
	}
	switch len(found) {
	case 0:
		return registry.Image{}, fmt.Errorf("image %.80q: %w; `dragonfly image list` has the names, of which the first %d characters are enough", name, registry.ErrNotFound, minPrefix)
	case 1:
		return found[0], nil
	}
	return registry.Image{}, &registry.ImageError{Why: fmt.Sprintf("%d images have names that begin with %s; give more of it", len(found), name)}
}

// Find is the image that came of a source last: of a file with that sum where there
// is one, and else of that URL. Of an image that is damaged it is none.
func (s *Store) Find(src registry.ImageSource) (image registry.Image, ok bool) {
	var latest time.Time
	for _, i := range s.List() {
		if origin, same := i.OriginOf(src); same && i.Damage == "" && origin.At.After(latest) {
			image, ok, latest = i, true, origin.At
		}
	}
	return image, ok
}

// publish puts a finished file, and what is known of it, where it can be seen. An
// image that is there already only gets one more origin.
func (s *Store) publish(temp string, image registry.Image) (registry.Image, error) {
	name, err := frame.ParseName(image.Name)
	if err != nil {
		return image, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.images[name]; ok && known.Damage == "" {
		known.Origins = withOrigin(known.Origins, image.Origins[0])
		return known, errors.Join(s.keep(name, known), os.Remove(temp))
	}
	if err := os.Rename(temp, s.path(name)); err != nil {
		return image, err
	}
	return image, s.keep(name, image)
}

// maxOrigins is how many origins of an image are kept, the latest ones.
const maxOrigins = 16

// withOrigin adds an origin; of the same file there is one only.
func withOrigin(origins []registry.ImageOrigin, more registry.ImageOrigin) []registry.ImageOrigin {
	rest := slices.DeleteFunc(slices.Clone(origins), func(o registry.ImageOrigin) bool { return o.URL == more.URL && o.SHA256 == more.SHA256 })
	rest = append(rest, more)
	return rest[max(0, len(rest)-maxOrigins):]
}

// keep writes down what is known of an image, and knows it. The caller has the lock.
func (s *Store) keep(name frame.Name, image registry.Image) error {
	if err := writeJSON(s.metaPath(name), image); err != nil {
		return err
	}
	s.images[name] = image
	return nil
}

// change changes what is known of an image, if it is still there.
func (s *Store) change(text string, edit func(*registry.Image)) (there bool, err error) {
	name, err := frame.ParseName(text)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	image, ok := s.images[name]
	if !ok {
		return false, nil
	}
	edit(&image)
	return true, s.keep(name, image)
}

// writeJSON writes a file whole or not at all, and so that it outlives the loss of
// power.
func writeJSON(path string, value any) error {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(path, append(body, '\n'))
}

func readJSON(path string, value any) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// removeIfThere removes a file that need not be there.
func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
