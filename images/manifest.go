package images

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// manifest is manifest.json: what a directory holds and what it was made of.
// It has no times, so that it is as reproducible as the rest.
type manifest struct {
	Arch     string      `json:"arch,omitempty"`
	Flavour  string      `json:"flavour,omitempty"`
	Kernel   string      `json:"kernel,omitempty"` // release, such as 6.12.117+deb13-amd64
	Packages []deb       `json:"packages"`
	Files    []fileEntry `json:"files"`
	Agent    string      `json:"agent_sha256,omitempty"`
	Modules  []string    `json:"modules,omitempty"`
	Firmware []string    `json:"firmware,omitempty"`
	Absent   []string    `json:"absent,omitempty"` // wanted, but in none of the packages
}

// fileEntry is one file beside the manifest; Size is in bytes.
type fileEntry struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// files are the image's files by name, with their manifest.
func (img *image) files(o Options, debs []deb) (map[string][]byte, error) {
	files := map[string][]byte{"vmlinuz": img.Kernel, "initramfs.zst": img.Initramfs}
	if img.Tools.SHA256 != "" {
		files[img.Tools.name()] = img.Tools.Archive
	}
	maps.Copy(files, img.Beside)
	m := manifest{
		Arch: o.Arch, Flavour: o.Flavour, Kernel: img.Release,
		Packages: debs, Files: describe(files), Agent: hash(img.Agent),
		Absent: img.absent(),
	}
	for _, module := range img.Modules {
		m.Modules = append(m.Modules, module.Name)
	}
	for _, file := range img.Firmware {
		m.Firmware = append(m.Firmware, file.Name)
	}
	var err error
	files["manifest.json"], err = m.encode()
	return files, err
}

// describe lists files with their sizes and hashes, sorted by name.
func describe(files map[string][]byte) []fileEntry {
	var entries []fileEntry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, fileEntry{Name: name, Size: len(files[name]), SHA256: hash(files[name])})
	}
	return entries
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func (m manifest) encode() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return append(text, '\n'), nil
}
