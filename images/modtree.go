package images

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxModule bounds one uncompressed module, in bytes. The largest of Debian 13
// (amdgpu, which no image has) is 27 MiB.
const maxModule = 64 << 20

// moduleTree is /lib/modules/<release> as a kernel package ships it: no
// modules.dep, because depmod runs only when the package is installed.
type moduleTree struct {
	Release string // such as 6.12.117+deb13-amd64
	root    fs.FS
	files   map[string]string // module name -> file, maybe compressed
	builtin map[string]bool   // compiled into the kernel itself
	Builtin []byte            // the file modules.builtin as it is
}

// openModules finds the one kernel release below lib/modules or
// usr/lib/modules of an unpacked kernel package and names its modules.
func openModules(pkg fs.FS) (*moduleTree, error) {
	found, err := fs.Glob(pkg, "usr/lib/modules/*/kernel")
	if err == nil && len(found) == 0 {
		found, err = fs.Glob(pkg, "lib/modules/*/kernel")
	}
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("find kernel modules: want one /lib/modules/RELEASE/kernel in the package, found %d", len(found))
	}
	dir := path.Dir(found[0])
	root, err := fs.Sub(pkg, dir)
	if err != nil {
		return nil, err
	}
	tree := &moduleTree{Release: path.Base(dir), root: root, files: map[string]string{}, builtin: map[string]bool{}}
	return tree, tree.scan()
}

func (t *moduleTree) scan() (err error) {
	if t.Builtin, err = fs.ReadFile(t.root, "modules.builtin"); err != nil {
		return fmt.Errorf("read the list of built-in modules: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(t.Builtin))
	for lines.Scan() {
		t.builtin[moduleName(lines.Text())] = true
	}
	return fs.WalkDir(t.root, "kernel", func(file string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if isModule(file) {
			t.files[moduleName(file)] = file
		}
		return nil
	})
}

// has reports whether the kernel offers a module, as a file or built in.
func (t *moduleTree) has(name string) bool { return t.files[name] != "" || t.builtin[name] }

// load reads and uncompresses one module that is in the tree as a file.
func (t *moduleTree) load(name string) (module, error) {
	file := t.files[name]
	packed, err := t.root.Open(file)
	if err != nil {
		return module{}, fmt.Errorf("read module %s: %w", name, err)
	}
	defer packed.Close()
	body, err := uncompress(file, packed)
	if err != nil {
		return module{}, fmt.Errorf("read module %s: %w", name, err)
	}
	return readModule(uncompressedName(file), body)
}

func isModule(file string) bool { return strings.HasSuffix(uncompressedName(file), ".ko") }

// uncompressedName drops the endings that kernels give their modules: none
// before Debian 13, .xz in Debian 13.
func uncompressedName(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(file, ".xz"), ".zst")
}

// uncompress reads a module whose name tells how it is compressed.
func uncompress(file string, packed io.Reader) ([]byte, error) {
	plain := packed
	switch path.Ext(file) {
	case ".xz":
		reader, err := xz.NewReader(bufio.NewReader(packed))
		if err != nil {
			return nil, err
		}
		plain = reader
	case ".zst":
		reader, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer reader.Close()
		plain = reader
	}
	body, err := io.ReadAll(io.LimitReader(plain, maxModule+1))
	if err == nil && len(body) > maxModule {
		err = fmt.Errorf("more than %d bytes: %w", maxModule, os.ErrInvalid)
	}
	return body, err
}
