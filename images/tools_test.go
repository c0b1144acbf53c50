package images

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"dragonfly/images/packed"
)

// fakeToolPackage are packages with the programs that are wanted; all of them need nothing,
// for they are no programs but objects.
func fakeToolPackage() fstest.MapFS {
	files := fstest.MapFS{toolConfig: {Data: []byte("[defaults]\n")}}
	for _, name := range toolPrograms() {
		files[name] = &fstest.MapFile{Data: fakeModule()}
	}
	return files
}

func TestPackTools(t *testing.T) {
	one, err := packTools([]fs.FS{fstest.MapFS{}, fakeToolPackage()})
	if err != nil {
		t.Fatal(err)
	}
	two, err := packTools([]fs.FS{fakeToolPackage()})
	if err != nil || one.SHA256 != two.SHA256 || hash(one.Archive) != one.SHA256 {
		t.Errorf("%s and then %s, %v", one.SHA256, two.SHA256, err)
	}
	root := t.TempDir()
	if err := packed.Unpack(bytes.NewReader(one.Archive), root); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"bin/mke2fs": 0o755, "bin/mkfs.xfs": 0o755, toolConfig: 0o644} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	files := fakeToolPackage()
	delete(files, "usr/sbin/mdadm")
	if _, err := packTools([]fs.FS{files}); err == nil || !strings.Contains(err.Error(), "usr/sbin/mdadm is in none of the packages") {
		t.Error(err)
	}
}

// The image says which tools are its own, and has the root certificates where Go
// looks for them.
func TestImageNamesItsTools(t *testing.T) {
	p := fakeParts(t)
	p.Roots, p.Tools = []byte("PEM"), tools{Archive: []byte("archive"), SHA256: hash([]byte("archive")), Files: 1}
	img, err := assemble(p)
	if err != nil {
		t.Fatal(err)
	}
	root, err := img.root(nil, nil)
	if err != nil || root[packed.Tools].Name == "" || root[packed.Roots].Name == "" {
		t.Errorf("the image has %v, %v", root, err)
	}
	files, err := img.files(Options{}, nil)
	if err != nil || string(files[img.Tools.name()]) != "archive" || !bytes.Contains(files["manifest.json"], []byte(img.Tools.SHA256)) {
		t.Errorf("beside it are %v, %v", files, err)
	}
}

func TestRootCertificates(t *testing.T) {
	source := fstest.MapFS{}
	if _, err := rootCertificates(source); err == nil {
		t.Error("none are no error")
	}
	source["usr/share/ca-certificates/mozilla/B.crt"] = &fstest.MapFile{Data: []byte("b\n")}
	source["usr/share/ca-certificates/mozilla/A.crt"] = &fstest.MapFile{Data: []byte("a\n")}
	if all, err := rootCertificates(source); string(all) != "a\nb\n" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
}
