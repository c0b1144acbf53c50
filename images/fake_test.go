package images

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// fakeModule is a relocatable ELF file whose only content is a .modinfo section
// with these "key=value" entries.
func fakeModule(entries ...string) []byte {
	modinfo := []byte(strings.Join(entries, "\x00") + "\x00")
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	const header = 64
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: header, Size: uint64(len(modinfo))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: header + uint64(len(modinfo)), Size: uint64(len(names))},
	}
	var file bytes.Buffer
	head := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Ehsize: header,
		Shoff: uint64(header + len(modinfo) + len(names)), Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: 2,
	}
	for _, part := range []any{head, modinfo, names, sections} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			panic(err) // a buffer takes everything
		}
	}
	return file.Bytes()
}

const fakeRelease = "6.12.1-test"

// fakeKernel is an unpacked kernel package: modules by their path below
// /lib/modules/RELEASE/kernel, compressed as their names say.
func fakeKernel(t *testing.T, builtin string, modules map[string][]byte) fs.FS {
	t.Helper()
	dir := "usr/lib/modules/" + fakeRelease + "/"
	pkg := fstest.MapFS{
		"boot/vmlinuz-" + fakeRelease: {Data: []byte("kernel")},
		dir + "modules.builtin":       {Data: []byte(builtin)},
		dir + "kernel/README":         {Data: []byte("not a module")},
	}
	for name, body := range modules {
		pkg[dir+"kernel/"+name] = &fstest.MapFile{Data: squeeze(t, name, body)}
	}
	return pkg
}

func squeeze(t *testing.T, name string, body []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	switch {
	case strings.HasSuffix(name, ".xz"):
		w, err := xz.NewWriter(&packed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case strings.HasSuffix(name, ".zst"):
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(body, nil)
	default:
		return body
	}
	return packed.Bytes()
}

// mustOpen opens a fake kernel's modules.
func mustOpen(t *testing.T, pkg fs.FS) *moduleTree {
	t.Helper()
	tree, err := openModules(pkg)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
