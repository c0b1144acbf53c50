package action

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// used is what is on a disk that was used: random bytes.
var used = sync.OnceValue(func() []byte {
	b := make([]byte, 64*mib)
	_, _ = rand.NewChaCha8([32]byte{'u', 's', 'e', 'd'}).Read(b)
	return b
})

// loop is a used disk of the kernel over a file.
type loop struct {
	device string // /dev/loopN
	file   string // what is behind it
	size   int64
}

// newLoop makes a disk, of sectors of 512 or 4096 bytes. It takes root.
func newLoop(t testing.TB, size int64, sector uint32) *loop {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: loop devices take root")
	}
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "dragonfly"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(shm) })
		dir = shm
	}
	l := &loop{file: filepath.Join(dir, "disk"), size: size}
	l.fill(t)
	f, err := os.OpenFile(l.file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l.device = attach(t, f, sector)
	return l
}

// fill makes the disk one that was used.
func (l *loop) fill(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(l.file, used()[:l.size], 0o600); err != nil {
		t.Fatal(err)
	}
}

// attach finds a free loop device for a file.
func attach(t testing.TB, f *os.File, sector uint32) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: no loop devices here: %v", err)
	}
	defer control.Close()
	for range 50 { // somebody else may be faster
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		device := fmt.Sprintf("/dev/loop%d", n)
		l, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		config := unix.LoopConfig{Fd: uint32(f.Fd()), Size: sector, Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_PARTSCAN}}
		err = unix.IoctlLoopConfigure(int(l.Fd()), &config)
		_ = l.Close()
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		if err != nil {
			t.Fatalf("set up %s: %v", device, err)
		}
		t.Cleanup(func() { detach(t, device) })
		return device
	}
	t.Fatal("no loop device is free for long enough")
	return ""
}

func detach(t testing.TB, device string) {
	l, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := unix.IoctlSetInt(int(l.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
		t.Errorf("free %s: %v", device, err)
	}
}

// bytes is what is on the disk.
func (l *loop) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// holds reports how the disk begins with an image, and goes on as it was up to its
// last MiB.
func (l *loop) holds(t testing.TB, image []byte) {
	t.Helper()
	got := l.bytes(t)
	if i := differ(got[:len(image)], image); i >= 0 {
		t.Errorf("byte %d of the image is %#x, want %#x", i, got[i], image[i])
	}
	from, to := max(len(image), headSize), len(got)-headSize
	if from < to {
		if i := differ(got[from:to], used()[from:to]); i >= 0 {
			t.Errorf("byte %d, behind the image, was changed", from+i)
		}
	}
}

// untouched reports a disk that was changed.
func (l *loop) untouched(t testing.TB) {
	t.Helper()
	if i := differ(l.bytes(t), used()[:l.size]); i >= 0 {
		t.Errorf("byte %d of the disk was changed", i)
	}
}

// unbootable reports a disk that begins or ends with anything but zeros.
func (l *loop) unbootable(t testing.TB) {
	t.Helper()
	got := l.bytes(t)
	for _, end := range [][]byte{got[:min(headSize, len(got))], got[max(0, len(got)-headSize):]} {
		if strings.Trim(string(end), "\x00") != "" {
			t.Error("there is something at an end of the disk")
		}
	}
}

// differ is where a and b differ first; -1: nowhere.
func differ(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// record is what an action said.
type record struct {
	mu       sync.Mutex
	lines    []string
	last     Progress
	asked    []string
	progress int
}

// env is an environment with variables, and what is said in it.
func newEnv(t testing.TB, vars map[string]string) (*Env, *record) {
	r := &record{}
	return &Env{
		Vars: vars,
		Log: func(line string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Log(line)
			r.lines = append(r.lines, line)
		},
		Progress: func(p Progress) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.last = p
			r.progress++
		},
		Writing: func(device string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, device)
			return nil
		},
	}, r
}

func (r *record) said(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(strings.Join(r.lines, "\n"), text)
}

// run runs an action by the reference of its image.
func run(ctx context.Context, env *Env, image string) error {
	a, ok := Lookup("quay.io/tinkerbell/actions/" + image + ":latest")
	if !ok {
		return fmt.Errorf("no action %s", image)
	}
	return a.Run(ctx, env)
}

func sumOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
