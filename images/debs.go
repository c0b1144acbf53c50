package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// deb is one fetched package.
type deb struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	path    string
}

// fetch downloads what of the named packages is not in the cache yet. The
// version of each is the newest of the suite.
func (a *apt) fetch(ctx context.Context, names ...string) ([]deb, error) {
	uris, err := a.run(ctx, "apt-get", append([]string{"download", "-q", "--print-uris"}, names...)...)
	if err != nil {
		return nil, fmt.Errorf("look up packages %s: %w", strings.Join(names, " "), err)
	}
	debs, err := parseURIs(uris)
	if err != nil {
		return nil, err
	}
	if len(debs) != len(names) {
		return nil, fmt.Errorf("look up packages %s: apt-get knows %d of %d", strings.Join(names, " "), len(debs), len(names))
	}
	for i, d := range debs {
		debs[i].path = filepath.Join(a.dir, "debs", d.path)
		if err := a.download(ctx, debs[i]); err != nil {
			return nil, err
		}
	}
	return debs, nil
}

// download fetches one package unless the cache has it with the right hash.
func (a *apt) download(ctx context.Context, d deb) error {
	if sum, err := hashFile(d.path); err == nil && sum == d.SHA256 {
		return nil
	}
	a.log.Info("fetching a package", "package", d.Name, "version", d.Version)
	if _, err := a.runIn(ctx, filepath.Dir(d.path), "apt-get", "download", "-q", d.Name+"="+d.Version); err != nil {
		return fmt.Errorf("fetch package %s %s: %w", d.Name, d.Version, err)
	}
	sum, err := hashFile(d.path)
	if err != nil {
		return fmt.Errorf("fetch package %s %s: %w", d.Name, d.Version, err)
	}
	if sum != d.SHA256 {
		return fmt.Errorf("fetch package %s %s: it has the hash %s, the list says %s", d.Name, d.Version, sum, d.SHA256)
	}
	return nil
}

// parseURIs reads what apt-get --print-uris prints for each package:
// 'URI' file size SHA256:hash.
func parseURIs(text []byte) ([]deb, error) {
	var debs []deb
	for line := range lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasPrefix(words[0], "'") {
			continue
		}
		if len(words) != 4 || !strings.HasPrefix(words[3], "SHA256:") || strings.ContainsRune(words[1], '/') {
			return nil, fmt.Errorf("read apt-get's list of packages: %.200q: want a file name, a size and a SHA256 hash", line)
		}
		name, version, found := strings.Cut(strings.TrimSuffix(words[1], ".deb"), "_")
		version, _, found2 := strings.Cut(version, "_")
		if !found || !found2 {
			return nil, fmt.Errorf("read apt-get's list of packages: %.200q: want NAME_VERSION_ARCH.deb", words[1])
		}
		// A colon, of an epoch, is escaped in the file's name.
		version = strings.ReplaceAll(version, "%3a", ":")
		debs = append(debs, deb{Name: name, Version: version, SHA256: strings.TrimPrefix(words[3], "SHA256:"), path: words[1]})
	}
	return debs, nil
}

// unpack puts a package's files below the cache, once, and opens them.
func (a *apt) unpack(ctx context.Context, d deb) (fs.FS, error) {
	dir := filepath.Join(a.dir, "unpacked", strings.TrimSuffix(filepath.Base(d.path), ".deb"))
	if _, err := os.Stat(dir); err == nil {
		return os.DirFS(dir), nil
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-*")
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", d.Name, err)
	}
	defer os.RemoveAll(temp)
	if _, err := a.run(ctx, "dpkg-deb", "-x", d.path, temp); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", d.Name, err)
	}
	if err := os.Rename(temp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("unpack %s: %w", d.Name, err)
	}
	return os.DirFS(dir), nil
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
