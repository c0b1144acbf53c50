package action

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// qcow2Of is the qcow2 image that qemu-img makes of a raw one.
func qcow2Of(t testing.TB, image []byte, options ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	if err := os.WriteFile(in, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("SKIPPED: qemu-img (Debian package qemu-utils) is not here")
	}
	shell(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, options...), in, out)...)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestQemuImg2Disk(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 12*mib)
	plain, small := qcow2Of(t, image), qcow2Of(t, image, "-c")
	for name, test := range map[string]struct {
		file []byte
		sum  string
	}{
		"plain":      {plain, ""},
		"compressed": {small, ""},
		"zstd":       {qcow2Of(t, image, "-c", "-o", "compression_type=zstd"), ""},
		"with a sum": {small, sumOf(small)},
		"raw":        {image, sumOf(image)},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newLoop(t, 14*mib, 512)
			s := newServer(t, map[string][]byte{"/disk": test.file})
			env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/disk", "IMG_SHA256": test.sum})
			if err := run(t.Context(), env, "qemuimg2disk"); err != nil {
				t.Fatal(err)
			}
			disk.holds(t, onDisk(t, image, disk.size))
			if p := said.last; p.Written+p.Skipped != int64(len(image)) || p.Done != p.Total {
				t.Errorf("progress at the end: %+v", p)
			}
		})
	}
}

func TestQemuImg2DiskRefuses(t *testing.T) {
	t.Parallel()
	disk := newLoop(t, 8*mib, 512)
	image := diskImage(t, 6*mib)
	good := qcow2Of(t, image)
	backed := bytes.Clone(good)
	backed[15] = 1
	vmdk := append([]byte("KDMV"), make([]byte, 1020)...)
	s := newServer(t, map[string][]byte{
		"/good": good, "/large": qcow2Of(t, diskImage(t, 12*mib)), "/backed": backed, "/gz": gzipped(t, good), "/vmdk": vmdk, "/cut": good[:len(good)/2],
	})
	for name, test := range map[string]struct {
		vars map[string]string
		want string
	}{
		"a format":       {map[string]string{"FORMAT": "qcow2"}, `FORMAT is "qcow2"`},
		"more arguments": {map[string]string{"EXTRA_ARGS": "-n"}, `EXTRA_ARGS is "-n"`},
		"too large":      {map[string]string{"IMG_URL": s.URL + "/large"}, "the image has 12.6 MB (12582912 bytes) and " + disk.device},
		"a backing file": {map[string]string{"IMG_URL": s.URL + "/backed"}, "has a backing file"},
		"packed":         {map[string]string{"IMG_URL": s.URL + "/gz"}, "is packed with gzip"},
		"a VMDK":         {map[string]string{"IMG_URL": s.URL + "/vmdk"}, "it is a VMDK disk"},
		"a wrong sum":    {map[string]string{"IMG_SHA256": strings.Repeat("ab", 32)}, "and should be abab"},
		"cut, a sum":     {map[string]string{"IMG_URL": s.URL + "/cut", "IMG_SHA256": sumOf(good)}, "and should be " + sumOf(good)},
	} {
		t.Run(name, func(t *testing.T) {
			vars := map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/good"}
			maps.Copy(vars, test.vars)
			env, said := newEnv(t, vars)
			if err := run(t.Context(), env, "qemuimg2disk"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant ...%s...", err, test.want)
			}
			if len(said.asked) > 0 {
				t.Error("it asked to write")
			}
			disk.untouched(t)
		})
	}
}

// A file that is cut, or is not the same any more when its data is fetched, does not
// boot.
func TestDamagedQcow2(t *testing.T) {
	disk := newLoop(t, 14*mib, 512)
	image := diskImage(t, 12*mib)
	file := qcow2Of(t, image)
	for name, test := range map[string]struct {
		file []byte
		sum  string
		flip bool
		want string
	}{
		"cut":     {file[:len(file)-2*mib], "", false, "the image is cut"},
		"changed": {file, sumOf(file), true, "not what it was when its SHA-256 was checked"},
	} {
		s := newServer(t, map[string][]byte{"/disk": test.file})
		s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			if test.flip && r.Header.Get("Range") != "" { // not while the whole is checked
				return flip(w, r, int64(len(file))-3*mib)
			}
			return w
		}
		env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/disk", "IMG_SHA256": test.sum})
		err := run(t.Context(), env, "qemuimg2disk")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if len(said.asked) > 0 {
			disk.unbootable(t)
		}
	}
}
