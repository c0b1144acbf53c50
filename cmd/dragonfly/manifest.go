package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
	"dragonfly/registry/manifest"
)

// maxManifest bounds what is read of manifests: a machine is some 400 bytes.
const maxManifest = 512 << 20

// manifests is the text of several files, one after the other.
type manifests struct {
	text  bytes.Buffer
	lines int
	files []manifestFile
	docs  []manifest.Document
}

// manifestFile is a file and how many lines are before it in the text.
type manifestFile struct {
	name   string
	before int
}

// readManifests reads the files and folders, and what is in them. The error names
// the file and the line of all that is wrong.
func readManifests(cmd *cobra.Command, names []string) (*manifests, error) {
	m := &manifests{}
	for _, name := range names {
		files, err := filesBelow(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := readInput(cmd, file, maxManifest)
			if err != nil {
				return nil, err
			}
			m.add(file, text)
		}
	}
	return m.parsed(manifest.ParseAll(m.text.Bytes()))
}

// readList reads a list of machines from a file in a format; the error is as that of
// readManifests.
func readList(cmd *cobra.Command, name string, format manifest.Format) (*manifests, error) {
	text, err := readInput(cmd, name, maxManifest)
	if err != nil {
		return nil, err
	}
	m := &manifests{files: []manifestFile{{name, 0}}}
	return m.parsed(manifest.ParseList(text, format, math.MaxInt))
}

// parsed is m with the documents that its text is, or what is wrong with that.
func (m *manifests) parsed(docs []manifest.Document, err error) (*manifests, error) {
	if wrong, ok := errors.AsType[*manifest.InvalidError](err); ok {
		return nil, m.inFiles(wrong)
	}
	m.docs = docs
	return m, err
}

// filesBelow are the YAML and JSON files of a folder and those in it, by name, but
// for what is hidden; of another file it is that.
func filesBelow(name string) (files []string, err error) {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.IsDir() {
		return []string{name}, nil
	}
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		hidden := path != name && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return filepath.SkipDir
		case !d.IsDir() && !hidden && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s has no file that ends in .yaml, .yml or .json", name)
	}
	return files, err
}

// add puts a file behind those there are.
func (m *manifests) add(name string, text []byte) {
	if len(m.files) > 0 {
		m.write([]byte("---\n"))
	}
	m.files = append(m.files, manifestFile{name, m.lines})
	m.write(text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		m.write([]byte("\n"))
	}
}

func (m *manifests) write(text []byte) {
	m.lines += bytes.Count(text, []byte("\n"))
	m.text.Write(text)
}

// at is a line of the text as FILE:LINE.
func (m *manifests) at(line int) string {
	i := sort.Search(len(m.files), func(i int) bool { return m.files[i].before >= line }) - 1
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", m.files[i].name, line-m.files[i].before)
}

// inFiles is what is wrong with the text, as compilers write it.
func (m *manifests) inFiles(wrong *manifest.InvalidError) error {
	lines := []string{"nothing was changed:"}
	for _, p := range wrong.Problems {
		text := p.Message
		if field := p.Field(); field != "" {
			text = field + ": " + text
		}
		if p.First > 0 {
			text += " (the first is " + m.at(p.First) + ")"
		}
		lines = append(lines, m.at(p.Line)+": "+text)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// keep leaves out the documents that are of none of the parts.
func (m *manifests) keep(parts []string) error {
	if len(parts) == 0 {
		return nil
	}
	m.docs = slices.DeleteFunc(m.docs, func(doc manifest.Document) bool {
		return !slices.Contains(parts, map[manifest.Kind]string{manifest.Machine: api.Machines, manifest.Rules: api.RulesSet, manifest.Defaults: api.DefaultsSet, manifest.OperatingSystem: api.Catalogue}[doc.Kind])
	})
	if len(m.docs) == 0 {
		return fmt.Errorf("there is no document about %s", strings.Join(parts, " or "))
	}
	return nil
}

// batch is as many documents as one request takes.
type batch struct {
	docs []manifest.Document
	text []byte
}

// fewAtOnce is how many documents a request has, where they need not be in one: it
// is answered within seconds, also by a host that has much else to do.
const fewAtOnce = 2000

// batches are the documents in requests of at most so many.
func (m *manifests) batches(most int) (all []batch) {
	var b batch
	for _, doc := range m.docs {
		if len(b.docs) == most || len(b.docs) > 0 && len(b.text)+len(doc.Text)+8 > manifest.MaxText {
			all, b = append(all, b), batch{}
		}
		if len(b.docs) > 0 && !bytes.HasPrefix(doc.Text, []byte("---")) {
			b.text = append(b.text, "---\n"...)
		}
		b.docs, b.text = append(b.docs, doc), append(b.text, doc.Text...)
	}
	return append(all, b)
}
