package action

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bench is an image, as a server has it, and a used disk for it.
type bench struct {
	dir   string
	size  int64
	sum   [sha256.Size]byte
	url   string // of dir
	disk  string
	file  string // behind the disk
	run   string // testdata/run
	frame string // the name of the file in the format of package frame
}

// benchImage makes a raw image in dir: a file system, a good third of which is programs,
// libraries and texts of this host, as an installed system has them.
func benchImage(t testing.TB, dir string, size int64) *os.File {
	t.Helper()
	image := filepath.Join(dir, "image")
	script := fmt.Sprintf(`mkdir files
		{ tar -c --sort=name -C / usr/bin usr/lib usr/share || true; } 2>/dev/null | head -c %d | tar -x -C files 2>/dev/null || true
		truncate -s %d image
		mke2fs -q -t ext4 -d files image
		rm -r files`, size*36/100, size)
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(image)
	return f
}

// newBench makes the image, packs it, serves it and builds what runs an action. All
// files are in memory.
func newBench(t testing.TB, size int64) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: loop devices take root")
	}
	dir, err := os.MkdirTemp("/dev/shm", "dragonfly")
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &bench{dir: dir, size: size, file: filepath.Join(dir, "disk"), run: filepath.Join(dir, "run")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", b.run, "./testdata/run")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.pack(t)
	f, err := os.OpenFile(b.file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.use(t)
	b.disk = attach(t, f, 512)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	b.url = "http://" + l.Addr().String() + "/"
	return b
}

// pack writes the image into files: NAME.img.zst of package frame, and image.zst as
// zstd makes it.
func (b *bench) pack(t testing.TB) {
	t.Helper()
	sum := sha256.New()
	zst := exec.CommandContext(t.Context(), "zstd", "-q", "-3", "-o", filepath.Join(b.dir, "image.zst"))
	in, err := zst.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := zst.Start(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	packed, err := os.Create(filepath.Join(b.dir, "packed"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	image := benchImage(t, b.dir, b.size)
	defer image.Close()
	var said strings.Builder
	pack := exec.CommandContext(t.Context(), b.run, "pack") // which has no race detector in it
	pack.Stdin, pack.Stdout, pack.Stderr = io.TeeReader(image, io.MultiWriter(sum, in)), packed, &said
	if err := pack.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	_ = in.Close()
	if err := zst.Wait(); err != nil {
		t.Fatal(err)
	}
	b.frame = said.String() + ".img.zst"
	if err := os.Rename(packed.Name(), filepath.Join(b.dir, b.frame)); err != nil {
		t.Fatal(err)
	}
	copy(b.sum[:], sum.Sum(nil))
}

// use fills the disk, which is as large as the image, with what was there before.
func (b *bench) use(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(b.file, os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); at < b.size; at += int64(len(used())) {
		if _, err := f.WriteAt(used()[:min(int64(len(used())), b.size-at)], at); err != nil {
			t.Fatal(err)
		}
	}
}

// check reports a disk that is not, byte for byte, the image.
func (b *bench) check(t testing.TB) {
	t.Helper()
	f, err := os.Open(b.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sum.Sum(nil), b.sum[:]) {
		t.Fatal("the disk has another image")
	}
}

// agent runs image2disk in a process of its own and returns how long that took, and
// the most memory it had in bytes.
func (b *bench) agent(t testing.TB, file string) (took time.Duration, memory int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.run, "image2disk")
	cmd.Env = []string{"DEST_DISK=" + b.disk, "IMG_URL=" + b.url + file, "COMPRESSED=true"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(out), &seconds, &memory); err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second)), memory
}

// pipe is what people type.
func (b *bench) pipe(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	line := fmt.Sprintf("curl -sS %simage.zst | zstd -dc | dd of=%s bs=4M iflag=fullblock oflag=direct conv=fsync status=none", b.url, b.disk)
	if out, err := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", line).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: %s: %v\n%s", line, err, out)
	}
	return time.Since(began)
}

// What an agent takes of the memory of a machine is bounded, whatever the image.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 96 << 20
	b := newBench(t, 256*mib)
	for _, file := range []string{b.frame, "image.zst"} {
		b.use(t)
		_, memory := b.agent(t, file)
		t.Logf("%s: %s", file, short(memory))
		if memory > limit {
			t.Errorf("%s took %s of memory; want at most %s", file, exact(memory), exact(limit))
		}
		b.check(t)
	}
}

// coreTime is how long all cores of this host have worked, and been there, since it
// started, in ticks of the kernel (proc_stat(5)).
func coreTime(t testing.TB) (busy, all float64) {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line)[1:9] { // then come those of guests, which are in the first
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatal(err)
		}
		if all += ticks; i != 3 && i != 4 { // idle, and waiting for a disk
			busy += ticks
		}
	}
	return busy, all
}

// BenchmarkImage2Disk writes an image to a used disk the way people do, and both of
// ours, in turns; figures are of the raw image, and the ratios the medians of each
// turn's. The busy share is that of all cores, of what serves the image and of the disk's
// own work, too: the ratio divided by it is what these cores allow at most.
func BenchmarkImage2Disk(b *testing.B) {
	bench := newBench(b, 3<<30)
	ratios, speeds, shares, most := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}, int64(0)
	for range 5 {
		bench.use(b)
		pipe := bench.pipe(b)
		bench.check(b)
		speeds["pipe"] = append(speeds["pipe"], float64(bench.size)/pipe.Seconds()/1e9)
		for name, file := range map[string]string{"frames": bench.frame, "zst": "image.zst"} {
			bench.use(b)
			busy, all := coreTime(b)
			took, memory := bench.agent(b, file)
			busyAfter, allAfter := coreTime(b)
			shares[name] = append(shares[name], (busyAfter-busy)/(allAfter-all))
			bench.check(b)
			speeds[name] = append(speeds[name], float64(bench.size)/took.Seconds()/1e9)
			ratios[name] = append(ratios[name], pipe.Seconds()/took.Seconds())
			most = max(most, memory)
		}
	}
	for b.Loop() { // what was to be measured has been
	}
	b.ReportMetric(0, "ns/op")
	for _, name := range slices.Sorted(maps.Keys(speeds)) {
		slices.Sort(speeds[name])
		b.ReportMetric(speeds[name][len(speeds[name])/2], name+"-GB/s")
		if r := ratios[name]; r != nil {
			slices.Sort(r)
			slices.Sort(shares[name])
			b.ReportMetric(r[len(r)/2], name+"/pipe")
			b.ReportMetric(shares[name][len(r)/2], name+"-busy")
			b.Logf("%s: %s times the pipe", name, strings.Trim(fmt.Sprintf("%.2f", r), "[]"))
		}
	}
	b.ReportMetric(float64(most)/mib, "MiB-memory")
}
