package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dragonfly/images/store"
	"dragonfly/registry"
)

// Of [BenchmarkImages]: bytes of the image, and how many machines fetch it at once.
const (
	imageSize    = 256 << 20
	imageClients = 50
)

// BenchmarkImages compares what 50 machines that fetch one image get of the
// appliance, with its log, its metrics and its counting, and of nginx, of the same
// file, in turns; and what a gigabyte costs each of them of processor time.
func BenchmarkImages(b *testing.B) {
	dir := b.TempDir()
	file := imageIn(b, dir)
	peer := nginx(b, filepath.Dir(file))
	ours := startContender(b, "dragonfly", dir, nil)
	servers := map[string]*served{
		"dragonfly": {address: ours.address, path: store.Path + filepath.Base(file), pids: []int{ours.cmd.Process.Pid}},
		"nginx":     peer,
	}
	peer.path = "/" + filepath.Base(file)
	for range setting(b, envRounds, 5) {
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			servers[name].measure(b)
		}
	}
	for name, s := range servers {
		b.Logf("%-9s  %s GB/s  %s s of CPU for a GB", name, spread(s.speed, "%.2f"), spread(s.cost, "%.3f"))
	}
	b.Logf("dragonfly to nginx: speed %s, CPU %s", spread(ratios(servers["dragonfly"].speed, peer.speed), "%.2f"),
		spread(ratios(servers["dragonfly"].cost, peer.cost), "%.2f"))
	b.ReportMetric(0, "ns/op") // the lines above say it
}

// imageIn puts an image into the data folder of an appliance that does not run, and
// returns the file of it.
func imageIn(b *testing.B, dir string) string {
	raw := make([]byte, imageSize)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(raw) // no packing makes this smaller
	images, err := openImages(config{DataDir: dir}, nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- images.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if _, err := images.Upload(ctx, registry.ImageUpload{SHA256: sumText(raw), Size: imageSize}, bytes.NewReader(raw)); err != nil {
		b.Fatal(err)
	}
	if err := waitFor(ctx, func() bool { return len(images.List()) == 1 }); err != nil {
		b.Fatal(err, images.Jobs())
	}
	return filepath.Join(dir, "images", "os", images.List()[0].Name+".img.zst")
}

// served is a server that has the image.
type served struct {
	address     string
	path        string
	pids        []int
	speed, cost []float64 // GB/s, and seconds of CPU for each GB; one of each round
}

// fetch gets a file, of at least size bytes, and lets the kernel throw it away (tcp(7),
// MSG_TRUNC): what is fetched on the processors of the server must cost them little.
func fetch(address, path string, size int64) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	got := int64(c.in.Buffered())
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	unread := make([]byte, 1<<20)
	for n := 1; n > 0 && err == nil; got += int64(n) {
		var failed error
		err = raw.Read(func(fd uintptr) bool {
			n, _, failed = syscall.Recvfrom(int(fd), unread, syscall.MSG_TRUNC)
			return failed != syscall.EAGAIN
		})
		err, n = errors.Join(err, failed), max(n, 0)
	}
	if err == nil && (resp.StatusCode != http.StatusOK || got != resp.ContentLength || got < size) {
		err = fmt.Errorf("%s: %s, %d bytes", path, resp.Status, got)
	}
	return err
}

// measure lets all machines fetch the image once.
func (s *served) measure(b *testing.B) {
	before, began := cpuOf(b, s.pids), time.Now()
	var group errgroup.Group
	for range imageClients {
		group.Go(func() error { return fetch(s.address, s.path, imageSize) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	gigabytes := float64(imageClients) * imageSize / 1e9
	s.speed = append(s.speed, gigabytes/time.Since(began).Seconds())
	s.cost = append(s.cost, (cpuOf(b, s.pids)-before)/gigabytes)
}

// cpuOf is the processor time that processes have used, in seconds.
func cpuOf(b *testing.B, pids []int) (seconds float64) {
	for _, pid := range pids {
		used, err := processTime(pid)
		if err != nil {
			b.Fatal(err)
		}
		seconds += used.Seconds()
	}
	return seconds
}

// nginx serves a folder as Debian's package does, with two workers.
func nginx(b *testing.B, dir string) *served {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	work := b.TempDir()
	conf := filepath.Join(work, "nginx.conf")
	text := fmt.Sprintf("daemon off; user root; worker_processes 2; pid %[1]s/pid; error_log %[1]s/error;\nevents { worker_connections 768; }\nhttp { sendfile on; tcp_nopush on; access_log %[1]s/access; server { listen %[2]s; root %[3]s; } }\n", work, address, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("nginx", "-c", conf)
	if err := cmd.Start(); err != nil {
		b.Skipf("SKIPPED: nginx (Debian: apt-get install nginx-light): %v", err)
	}
	b.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(cmd.Process.Pid)).Output()
	if err != nil {
		b.Fatal(err)
	}
	s := &served{address: address}
	for _, word := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			b.Fatal(err)
		}
		s.pids = append(s.pids, pid)
	}
	return s
}
