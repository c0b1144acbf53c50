package action

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/images/agent/partition"
)

// A download that is cut anywhere, and called whole by its server, is never a
// success, and what it leaves does not boot.
func TestCutDownloads(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 6*mib)
	disk := newLoop(t, 8*mib, 512)
	name, file := framed(t, image)
	two := append(zstded(t, image[:4*mib]), zstded(t, image[4*mib:])...)
	random := rand.New(rand.NewPCG(1, 2))
	for path, whole := range map[string][]byte{
		name: file, "/zst": zstded(t, image), "/two.zst": two, "/gz": gzipped(t, image),
		"/xz": packedBy(t, image, "xz", "-c", "-0"), "/raw": image,
	} {
		cuts := []int{len(whole) - 1, len(whole) / 2, 1 + random.IntN(len(whole)-1), 20, 1}
		if path == "/two.zst" {
			cuts = append(cuts, len(zstded(t, image[:4*mib]))) // between two frames
		}
		for _, cut := range cuts {
			s := newServer(t, map[string][]byte{path: whole[:cut]})
			vars := map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": fmt.Sprint(path != "/raw")}
			if path == "/raw" || path == "/two.zst" { // nothing else could tell
				vars["IMG_SHA256"] = sumOf(whole)
			}
			env, said := newEnv(t, vars)
			err := run(t.Context(), env, "image2disk")
			if err == nil {
				t.Errorf("%s cut to %d of %d bytes was taken for whole", path, cut, len(whole))
			}
			if len(said.asked) > 0 {
				disk.unbootable(t)
			}
		}
	}
}

// Where nothing else tells that an image is cut, its partitions may.
func TestCutAtTheServer(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 12*mib)
	disk := newLoop(t, 14*mib, 512)
	part := image[:8*mib]
	s := newServer(t, map[string][]byte{"/raw": part, "/zst": zstded(t, part)})
	for _, path := range []string{"/raw", "/zst"} {
		env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": fmt.Sprint(path != "/raw")})
		err := run(t.Context(), env, "image2disk")
		if err == nil || !strings.Contains(err.Error(), "the image has 8.4 MB (8388608 bytes) and its partition 2 ends at 11534336, so it is cut") {
			t.Errorf("%s: %v", path, err)
		}
		disk.unbootable(t)
	}
}

// One with a wrong byte is no success either, which is not mended by fetching it again.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 6*mib)
	disk := newLoop(t, 8*mib, 512)
	name, file := framed(t, image)
	random := rand.New(rand.NewPCG(3, 4))
	for path, whole := range map[string][]byte{
		name: file, "/zst": packedBy(t, image, "zstd", "-c", "--check"), "/gz": gzipped(t, image),
		"/xz": packedBy(t, image, "xz", "-c", "-0"), "/raw": image,
	} {
		for range 3 {
			at := 4096 + random.Int64N(int64(len(whole))-8192)
			s := newServer(t, map[string][]byte{path: whole})
			s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter { return flip(w, r, at) }
			env, said := newEnv(t, map[string]string{
				"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": fmt.Sprint(path != "/raw"), "IMG_SHA256": sumOf(whole),
			})
			err := run(t.Context(), env, "image2disk")
			if err == nil {
				t.Fatalf("%s with another byte at %d was taken for whole", path, at)
			}
			if len(said.asked) > 0 {
				if !strings.Contains(err.Error(), "does not boot") {
					t.Errorf("%s: %v", path, err)
				}
				disk.unbootable(t)
			}
		}
	}
}

// A byte that was changed on the way once is fetched again, and its chunk only.
func TestFlippedOnce(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 12*mib)
	disk := newLoop(t, 14*mib, 512)
	name, file := framed(t, image)
	s := newServer(t, map[string][]byte{name: file})
	var flips atomic.Int32
	s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
		if strings.HasPrefix(r.Header.Get("Range"), "bytes=-") || flips.Add(1) > 1 {
			return w
		}
		return flip(w, r, 1000)
	}
	env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + name, "COMPRESSED": "true"})
	if err := run(t.Context(), env, "image2disk"); err != nil {
		t.Fatal(err)
	}
	disk.holds(t, onDisk(t, image, disk.size))
	if !said.said("fetching it again") {
		t.Error("nothing was fetched again")
	}
}

// The wrong sum is the wrong file, though it can be unpacked.
func TestWrongSum(t *testing.T) {
	t.Parallel()
	image := diskImage(t, 6*mib)
	disk := newLoop(t, 6*mib, 512) // no larger than the image: the second copy of its GPT is found
	for _, path := range []string{"/zst", "/raw"} {
		s := newServer(t, map[string][]byte{"/raw": image, "/zst": zstded(t, image)})
		env, _ := newEnv(t, map[string]string{
			"DEST_DISK": disk.device, "IMG_URL": s.URL + path, "COMPRESSED": fmt.Sprint(path != "/raw"), "IMG_SHA256": "sha256:" + strings.Repeat("ab", 32),
		})
		err := run(t.Context(), env, "image2disk")
		if err == nil || !strings.Contains(err.Error(), "and should be abab") || !strings.Contains(err.Error(), "does not boot") {
			t.Error(err)
		}
		disk.unbootable(t)
	}
}

// A file that becomes another while it is fetched is no mixture of both.
func TestFileChanges(t *testing.T) {
	t.Parallel()
	image, other := diskImage(t, 12*mib), diskImage(t, 12*mib)
	copy(other[8*mib:], "another")
	disk := newLoop(t, 14*mib, 512)
	for path, change := range map[string][]byte{"/same-size": other, "/longer": append(slices.Clone(image), other[:mib]...), "/shorter": image[:10*mib]} {
		s := newServer(t, map[string][]byte{path: image})
		s.wrap = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			if r.Header.Get("Range") != "" {
				return w
			}
			s.put(path, change)
			return &cutting{w, 9 * mib}
		}
		env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "IMG_URL": s.URL + path})
		i := testImage(t, s, path)
		i.packed = false
		err := i.write(t.Context(), env, disk.device)
		if err == nil || !strings.Contains(err.Error(), "changed while it was fetched") {
			t.Errorf("%s: %v", path, err)
		}
		disk.unbootable(t)
	}
}

// A disk that is in use, or is none, is not written to.
func TestDisksInUse(t *testing.T) {
	disk := newLoop(t, 64*mib, 512)
	table := partition.Table{Kind: partition.GPT, Sector: 512, Parts: []partition.Partition{{Number: 1, Start: mib, Size: 48 * mib, Type: partition.LinuxGUID}}}
	env, _ := newEnv(t, nil)
	target, err := openTarget(env, disk.device)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.blank(t.Context()); err != nil {
		t.Fatal(err)
	}
	clear(target.head)
	if err := table.Write(target, disk.size); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(target.seal(), target.reread(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := openTarget(env, disk.device); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("opened twice: %v", err)
	}
	_ = target.Close()

	part := disk.device + "p1"
	if _, err := openTarget(env, part); err == nil || !strings.Contains(err.Error(), "is a partition of loop") {
		t.Errorf("a partition: %v", err)
	}
	packedBy(t, nil, "mkfs.ext4", "-q", "-F", part)
	dir := t.TempDir()
	if err := unix.Mount(part, dir, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	_, err = openTarget(env, disk.device)
	if err == nil || !strings.Contains(err.Error(), "p1 is mounted on "+dir) {
		t.Errorf("mounted: %v", err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	whole, err := os.Open(disk.device)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if err := unix.IoctlSetPointerInt(int(whole.Fd()), unix.BLKROSET, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := openTarget(env, disk.device); err == nil || !strings.Contains(err.Error(), "is read-only") {
		t.Errorf("read-only: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(whole.Fd()), unix.BLKROSET, 0); err != nil {
		t.Fatal(err)
	}
	target, err = openTarget(env, disk.device)
	if err != nil {
		t.Fatal(err)
	}
	_ = target.Close()
}

// Whatever a disk knows of zeroing, zeros are what is read.
func TestZeroing(t *testing.T) {
	for way := range int32(3) {
		disk := newLoop(t, 8*mib, 512)
		env, _ := newEnv(t, nil)
		target, err := openTarget(env, disk.device)
		if err != nil {
			t.Fatal(err)
		}
		target.zeroes.Store(way)
		if err := target.zero(t.Context(), 2*mib+512, 3*mib+1024); err != nil {
			t.Fatal(err)
		}
		if err := target.sync(); err != nil {
			t.Fatal(err)
		}
		_ = target.Close()
		got := disk.bytes(t)
		if n := bytes.Count(got[2*mib+512:5*mib+1536], []byte{0}); n != 3*mib+1024 {
			t.Errorf("way %d: %d bytes are zero", way, n)
		}
		clear(got[2*mib+512 : 5*mib+1536])
		was := bytes.Clone(used()[:disk.size])
		clear(was[2*mib+512 : 5*mib+1536])
		if i := differ(got, was); i >= 0 {
			t.Errorf("way %d: byte %d was changed", way, i)
		}
	}
}

func TestSplit(t *testing.T) {
	for name, test := range map[string]struct {
		zeros      []int // from, to
		size       int
		data, hole int
	}{
		"nothing":          {nil, 0, 0, 0},
		"data":             {nil, 2 * mib, 2 * mib, 0},
		"zeros":            {[]int{0, 2 * mib}, 2 * mib, 0, 2 * mib},
		"few zeros":        {[]int{0, 4096}, 4096, 0, 4096},
		"a short run":      {[]int{mib, mib + zeroRun - 1}, 2 * mib, 2 * mib, 0},
		"a run":            {[]int{mib, mib + zeroRun}, 2 * mib, mib, zeroRun},
		"a run at first":   {[]int{0, zeroRun}, 2 * mib, 0, zeroRun},
		"a run at last":    {[]int{mib, 2 * mib}, 2 * mib, mib, mib},
		"an unaligned run": {[]int{mib - 1000, 2*mib - 1000}, 3 * mib, mib, mib - zeroBlock},
		"an odd end":       {[]int{mib, 2*mib - 512}, 2*mib - 512, mib, mib - 512},
	} {
		p := bytes.Repeat([]byte{7}, test.size)
		if test.zeros != nil {
			clear(p[test.zeros[0]:test.zeros[1]])
		}
		if data, hole := split(p); data != test.data || hole != test.hole {
			t.Errorf("%s: %d bytes of data, %d of zeros; want %d, %d", name, data, hole, test.data, test.hole)
		}
	}
}
