package action

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
	"dragonfly/images/frame"
)

const mib = 1 << 20

// diskImage is an image of size bytes with a GPT, data, short and long runs of
// zeros.
func diskImage(t testing.TB, size int64) []byte {
	t.Helper()
	disk := disktest.New(size)
	table := partition.Table{Kind: partition.GPT, Sector: 512, Parts: []partition.Partition{
		{Number: 1, Start: mib, Size: 2 * mib, Type: partition.ESPGUID, Name: "EFI"},
		{Number: 2, Start: 3 * mib, Size: size - 4*mib, Type: partition.LinuxGUID},
	}}
	if err := table.Write(disk, size); err != nil {
		t.Fatal(err)
	}
	image := make([]byte, size)
	if _, err := disk.ReadAt(image, 0); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{'d', 'i', 's', 'k'})
	for at := int64(mib); at < size-mib; at += 7 * mib {
		part := image[at:min(at+3*mib, size-mib)]
		half := len(part) / 2
		_, _ = random.Read(part[:half])
		copy(part[half:], bytes.Repeat([]byte("all work and no play makes Jack a dull boy\n"), half/43))
		clear(part[half/2 : half/2+100_000]) // a short run
	}
	return image
}

// framed is an image in the format of package frame, and the path it is served at.
func framed(t testing.TB, image []byte) (path string, file []byte) {
	t.Helper()
	var b bytes.Buffer
	index, err := frame.Pack(&b, bytes.NewReader(image), nil)
	if err != nil {
		t.Fatal(err)
	}
	return "/boot/images/" + index.Name.String() + ".img.zst", b.Bytes()
}

func zstded(t testing.TB, image []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(image)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gzipped packs with the program, as Go's takes seconds under the race detector.
func gzipped(t testing.TB, image []byte) []byte {
	t.Helper()
	return packedBy(t, image, "gzip", "-c")
}

// packedBy packs with a program of this host.
func packedBy(t testing.TB, image []byte, command ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(image)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("SKIPPED: %s: %v", command, err)
	}
	return out
}

// onDisk is an image with the second copy of its GPT where it belongs on a disk.
func onDisk(t testing.TB, image []byte, size int64) []byte {
	t.Helper()
	disk := disktest.New(size)
	if _, err := disk.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := partition.Relocate(disk, size, 512); err != nil && !errors.Is(err, partition.ErrNone) {
		t.Fatal(err)
	}
	all := make([]byte, size)
	if _, err := disk.ReadAt(all, 0); err != nil {
		t.Fatal(err)
	}
	return all[:len(image)]
}

func TestImage2Disk(t *testing.T) {
	t.Parallel()
	const diskSize = 14*mib + 512*3
	image := diskImage(t, 12*mib)
	name, file := framed(t, image)
	for kind, test := range map[string]struct {
		path   string
		file   []byte
		packed string
	}{
		"frames":  {name, file, "true"},
		"zst":     {"/disk.img.zst", zstded(t, image), "1"},
		"zst -19": {"/disk.img.zst", packedBy(t, image, "zstd", "-c", "-9", "--long=27"), "1"},
		"pzstd":   {"/disk.img.zst", append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), zstded(t, image)...), "1"},
		"gz":      {"/disk.img.gz", gzipped(t, image), "true"},
		"xz":      {"/disk.img.xz", packedBy(t, image, "xz", "-c", "-1"), "true"},
		"bz2":     {"/disk.img.bz2", packedBy(t, image, "bzip2", "-c", "-1"), "true"},
		"raw":     {"/disk.img", image, ""},
	} {
		t.Run(kind, func(t *testing.T) {
			disk := newLoop(t, diskSize, 512)
			s := newServer(t, map[string][]byte{test.path: test.file})
			env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + test.path, "COMPRESSED": test.packed})
			if kind != "frames" {
				env.Vars["IMG_SHA256"] = sumOf(test.file)
			}
			if err := run(t.Context(), env, "image2disk"); err != nil {
				t.Fatal(err)
			}
			disk.holds(t, onDisk(t, image, diskSize))
			if !slices.Equal(said.asked, []string{disk.device}) {
				t.Errorf("asked to write to %v", said.asked)
			}
			if p := said.last; p.Written+p.Skipped != int64(len(image)) || p.Done != p.Total || p.Skipped < 4*mib || p.Stage != "finish" {
				t.Errorf("progress at the end: %+v", p)
			}
			if !said.said(disk.device + " has 2 partitions") {
				t.Error("the partitions were not read")
			}
		})
	}
}

func TestImageForLargeSectors(t *testing.T) {
	t.Parallel()
	image := make([]byte, 8*mib+512) // no whole sectors of 4096
	_, _ = rand.NewChaCha8([32]byte{}).Read(image)
	name, file := framed(t, image)
	disk := newLoop(t, 16*mib, 4096)
	s := newServer(t, map[string][]byte{name: file, "/raw": image, "/gpt": diskImage(t, 8*mib)})
	for _, path := range []string{name, "/raw"} {
		env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": map[bool]string{true: "true"}[path == name]})
		if err := run(t.Context(), env, "image2disk"); err != nil {
			t.Fatal(err)
		}
		got := disk.bytes(t)
		if !bytes.Equal(got[:len(image)], image) || strings.Trim(string(got[len(image):len(image)+4096-512]), "\x00") != "" {
			t.Errorf("%s: another image is on the disk", path)
		}
	}
	env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/gpt"})
	if err := run(t.Context(), env, "image2disk"); err == nil || !strings.Contains(err.Error(), "partitions for sectors of 512 bytes") {
		t.Error(err)
	}
}

// What is refused is refused before anything is changed.
func TestImage2DiskRefuses(t *testing.T) {
	t.Parallel()
	disk := newLoop(t, 8*mib, 512)
	image := diskImage(t, 12*mib)
	small := diskImage(t, 6*mib)
	name, file := framed(t, image)
	smallName, smallFile := framed(t, small)
	other, _ := framed(t, diskImage(t, 7*mib))
	cut := smallFile[:len(smallFile)-7]
	s := newServer(t, map[string][]byte{
		name: file, smallName: smallFile, other: smallFile, "/cut" + strings.TrimPrefix(smallName, "/boot/images"): cut,
		"/raw": image, "/small": small, "/zst": zstded(t, small), "/big.zst": packedBy(t, image, "zstd", "-c", "--stream-size=12582912"),
		"/html": []byte("\n<!DOCTYPE html><html>sign in</html>"), "/empty": {}, "/gz.zst": zstded(t, gzipped(t, small)),
		"/qcow2": append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 504)...),
	})
	good := map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/small"}
	for name, test := range map[string]struct {
		vars map[string]string
		want string
	}{
		"no disk":             {map[string]string{"DEST_DISK": ""}, "DEST_DISK is not set"},
		"no image":            {map[string]string{"IMG_URL": ""}, "IMG_URL is not set"},
		"another disk":        {map[string]string{"DEST_DISK": "/dev/disk/by-id/ata-none"}, "there is no disk /dev/disk/by-id/ata-none; the machine has"},
		"a file":              {map[string]string{"DEST_DISK": disk.file}, "is no disk: it is not a block device"},
		"a bad flag":          {map[string]string{"COMPRESSED": "perhaps"}, `COMPRESSED is "perhaps"`},
		"a bad sum":           {map[string]string{"IMG_SHA256": "abc"}, `IMG_SHA256 is "abc"`},
		"a bad interval":      {map[string]string{"PROGRESS_INTERVAL_SECONDS": "-1"}, `PROGRESS_INTERVAL_SECONDS is "-1"`},
		"a bad limit":         {map[string]string{"RETRY_DURATION_MINUTES": "soon"}, `RETRY_DURATION_MINUTES is "soon"`},
		"a file's address":    {map[string]string{"IMG_URL": "file:///disk.img"}, "want one that begins with http"},
		"not there":           {map[string]string{"IMG_URL": s.URL + "/none"}, "404 Not Found"},
		"too large, frames":   {map[string]string{"IMG_URL": s.URL + name, "COMPRESSED": "true"}, "the image has 12.6 MB (12582912 bytes) and " + disk.device},
		"too large, raw":      {map[string]string{"IMG_URL": s.URL + "/raw"}, "the image has 12.6 MB (12582912 bytes) and " + disk.device},
		"too large, zst":      {map[string]string{"IMG_URL": s.URL + "/big.zst", "COMPRESSED": "true"}, "only 8.4 MB (8388608 bytes)"},
		"packed, not said":    {map[string]string{"IMG_URL": s.URL + "/zst"}, "is packed with zstd, and COMPRESSED does not say so"},
		"frames, not said":    {map[string]string{"IMG_URL": s.URL + smallName}, "is packed with zstd, and COMPRESSED does not say so"},
		"not packed":          {map[string]string{"COMPRESSED": "true"}, "COMPRESSED is true, and " + s.URL + "/small is not packed"},
		"packed twice":        {map[string]string{"IMG_URL": s.URL + "/gz.zst", "COMPRESSED": "true"}, "packed again, with gzip"},
		"qcow2":               {map[string]string{"IMG_URL": s.URL + "/qcow2"}, "which qemuimg2disk writes"},
		"a web page":          {map[string]string{"IMG_URL": s.URL + "/html"}, "is a web page"},
		"nothing":             {map[string]string{"IMG_URL": s.URL + "/empty"}, "the image is empty"},
		"frames of another":   {map[string]string{"IMG_URL": s.URL + other, "COMPRESSED": "true"}, "the SHA-256 is another"},
		"frames cut":          {map[string]string{"IMG_URL": s.URL + "/cut" + strings.TrimPrefix(smallName, "/boot/images"), "COMPRESSED": "true"}, "it may be cut"},
		"a host without name": {map[string]string{"IMG_URL": "http:///x"}, "cannot be fetched from"},
	} {
		t.Run(name, func(t *testing.T) {
			vars := maps.Clone(good)
			maps.Copy(vars, test.vars)
			env, said := newEnv(t, vars)
			if err := run(t.Context(), env, "image2disk"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant ...%s...", err, test.want)
			}
			if len(said.asked) > 0 {
				t.Error("it asked to write")
			}
			disk.untouched(t)
		})
	}
}

// A disk that turns out to be too small while the image is unpacked has no
// partition table after that.
func TestImageTurnsOutTooLarge(t *testing.T) {
	t.Parallel()
	disk := newLoop(t, 8*mib, 512)
	image := diskImage(t, 12*mib)
	s := newServer(t, map[string][]byte{"/gz": gzipped(t, image)})
	env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + "/gz", "COMPRESSED": "true"})
	err := run(t.Context(), env, "image2disk")
	if err == nil || !strings.Contains(err.Error(), "the image has at least") || !strings.Contains(err.Error(), "no partition table") {
		t.Error(err)
	}
	disk.unbootable(t)
}

// Writing may be refused, and then nothing is written.
func TestWritingIsRefused(t *testing.T) {
	t.Parallel()
	disk := newLoop(t, 8*mib, 512)
	image := diskImage(t, 6*mib)
	name, file := framed(t, image)
	s := newServer(t, map[string][]byte{name: file, "/raw": image})
	for _, path := range []string{name, "/raw"} {
		env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": map[bool]string{true: "true"}[path == name]})
		cancelled := errors.New("the deployment was cancelled by ana")
		env.Writing = func(string) error { return cancelled }
		if err := run(t.Context(), env, "image2disk"); !errors.Is(err, cancelled) || !strings.Contains(err.Error(), "nothing was written") {
			t.Error(err)
		}
		disk.untouched(t)
	}
}

// A cancel ends the action soon, wherever it is, with its cause; the disk does not
// boot.
func TestCancel(t *testing.T) {
	image := diskImage(t, 12*mib)
	name, file := framed(t, image)
	for path, stall := range map[string]int{name: mib / 2, "/raw": 9 * mib, "/zst": 5 * mib / 2} {
		disk := newLoop(t, 14*mib, 512)
		s := newServer(t, map[string][]byte{name: file, "/raw": image, "/zst": zstded(t, image)})
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("cancelled by ana")
		env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": map[bool]string{true: "true"}[path != "/raw"]})
		s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			if first := r.Header.Get("Range"); strings.HasPrefix(first, "bytes=-") || strings.HasPrefix(first, "bytes=0-") {
				return w // the index, and the first chunk
			}
			return &stalling{w, stall, r.Context().Done()}
		}
		env.Progress = func(p Progress) {
			if p.Written > 0 {
				cancel(cause)
			}
		}
		err := run(ctx, env, "image2disk")
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "does not boot") {
			t.Errorf("%s: %v", path, err)
		}
		if len(said.asked) != 1 {
			t.Errorf("%s: it asked to write %v", path, said.asked)
		}
		disk.unbootable(t)
	}
}

// Broken connections, in every way and often, change nothing but the time it takes;
// and next to nothing is fetched twice.
func TestBrokenConnections(t *testing.T) {
	image := diskImage(t, 12*mib)
	name, file := framed(t, image)
	for _, path := range []string{name, "/raw", "/zst"} {
		t.Run(path[len(path)-3:], func(t *testing.T) {
			disk := newLoop(t, 14*mib, 512)
			files := map[string][]byte{name: file, "/raw": image, "/zst": zstded(t, image)}
			s := newServer(t, files)
			var answers atomic.Int32
			s.tamper = func(w http.ResponseWriter, r *http.Request) bool {
				n := answers.Add(1)
				if n%4 == 2 {
					http.Error(w, "busy", http.StatusServiceUnavailable)
				}
				return n%4 == 2
			}
			s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
				if strings.HasPrefix(r.Header.Get("Range"), "bytes=-") {
					return &cutting{w, 100}
				}
				switch answers.Load() % 4 {
				case 1:
					return &cutting{w, 700_000}
				case 3:
					return &stalling{w, 300_000, r.Context().Done()}
				}
				return w
			}
			i := testImage(t, s, path)
			env, said := newEnv(t, nil)
			i.source.log, i.source.retry.stall = env.logf, 500*time.Millisecond
			if err := i.write(t.Context(), env, disk.device); err != nil {
				t.Fatal(err)
			}
			disk.holds(t, onDisk(t, image, disk.size))
			if twice := said.last.Fetched - int64(len(files[path])); twice > mib {
				t.Errorf("%d bytes were fetched twice", twice)
			}
			if s.asked() < 4 {
				t.Errorf("only %d requests", s.asked())
			}
		})
	}
}

// testImage is an image that is fetched as [testRetry] says.
func testImage(t testing.TB, s *server, path string) image {
	return image{
		packed: path != "/raw",
		source: &source{client: s.Client(), url: s.URL + path, log: t.Logf, retry: testRetry},
	}
}

// The index is found, however much of the end is asked for first.
func TestIndex(t *testing.T) {
	image := diskImage(t, 12*mib)
	path, file := framed(t, image)
	s := newServer(t, map[string][]byte{path: file})
	name, ok := frameName(s.URL + path + "?token=x")
	if !ok {
		t.Fatalf("%s is no name", path)
	}
	for _, likely := range []int64{frame.FooterSize, frame.FooterSize + 1, 100, 1000, int64(len(file)), 1 << 30} {
		index, err := testImage(t, s, path).index(t.Context(), name, likely)
		if err != nil || index.Size != int64(len(image)) {
			t.Errorf("with %d bytes of the end: %v", likely, err)
		}
	}
	for _, path := range []string{"/disk.img.zst", "/x.img.zst/", strings.TrimSuffix(path, ".zst"), "%zz"} {
		if _, ok := frameName("http://df" + path); ok {
			t.Errorf("%s is a name", path)
		}
	}
}
