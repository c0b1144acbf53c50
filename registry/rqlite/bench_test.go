package rqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragonfly/registry"
)

// fleet is how many machines there are in the benchmarks of reads.
const fleet = 1000

// fill stores the fleet, each with hardware of about 2.5 kB.
func fill(b *testing.B, s registry.Store) {
	b.Helper()
	for from := 0; from < fleet; from += 100 {
		c := registry.Change{Op: fmt.Sprint("fill ", from)}
		for n := from; n < from+100; n++ {
			m := newMachine(n)
			m.Hardware.OSFound = []registry.OSFound{{Name: strings.Repeat("x", 2500)}}
			c.Put = append(c.Put, m)
			c.Events = append(c.Events, registry.Event{Kind: registry.MachineRegistered, Machine: m.ID})
		}
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	n := 0
	for b.Loop() {
		n++
		if err := s.Commit(b.Context(), create(n)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMachineByMAC(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	fill(b, s)
	q := registry.Query{MACs: newMachine(fleet / 2).MACs}
	for b.Loop() {
		if found, err := s.Machines(b.Context(), q); err != nil || len(found) != 1 {
			b.Fatal(len(found), err)
		}
	}
}

func BenchmarkMachinesPage(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	fill(b, s)
	for b.Loop() {
		if found, err := s.Machines(b.Context(), registry.Query{After: registry.Position{Key: "name-000500"}, Limit: 50}); err != nil || len(found) != 50 {
			b.Fatal(len(found), err)
		}
	}
}

func BenchmarkEventsPoll(b *testing.B) {
	s := embedded(b, startNode(b, b.TempDir()))
	fill(b, s)
	for b.Loop() { // nothing new: what a poll finds nearly always
		if events, err := s.Events(b.Context(), fleet, 500); err != nil || len(events) != 0 {
			b.Fatal(len(events), err)
		}
	}
}

// report4k is the n-th machine with hardware of 4 kB.
func report4k(n int) registry.Machine {
	m := newMachine(n)
	for i := range 20 {
		m.Hardware.Disks = append(m.Hardware.Disks, registry.Disk{Name: fmt.Sprintf("nvme%dn1", i), Model: strings.Repeat("m", 60),
			Serial: fmt.Sprintf("S%08d%08d", n, i), ByID: "/dev/disk/by-id/nvme-" + strings.Repeat("d", 40), Bytes: 1 << 42})
	}
	return m
}

// What clients that write at once get, of one machine each, with the rate of the
// disk beside it.
func BenchmarkCommitClients(b *testing.B) {
	for _, clients := range []int{1, 8, 64, 200} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			s := embedded(b, startNode(b, b.TempDir()))
			var n atomic.Int64
			var mu sync.Mutex
			var took []time.Duration
			b.SetParallelism(max(1, clients/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := int(n.Add(1))
					c := registry.Change{Op: fmt.Sprint("op ", id), Put: []registry.Machine{report4k(id)},
						Events: []registry.Event{{Kind: registry.MachineRegistered, Machine: fmt.Sprint(id)}}}
					begin := time.Now()
					if err := s.Commit(b.Context(), c); err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					took = append(took, time.Since(begin))
					mu.Unlock()
				}
			})
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// The limit of every durable write: 4 kB to the same disk.
func BenchmarkFdatasync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}
