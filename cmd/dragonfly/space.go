package main

import (
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// What should stay free on the disk of the data directory. The journal may grow by a
// quarter of a gigabyte, and the database is written a second time before it lets its
// log go. On a larger disk more is wanted, so that there is time to act.
const (
	leastFree = 1 << 30  // bytes
	leastPart = 20       // one part in so many of the disk,
	mostFloor = 10 << 30 // but never more than this
)

// space is the room on a disk, in bytes.
type space struct {
	free uint64 // for this process; what a file system keeps for root is not
	size uint64
}

// spaceOf asks the disk that a directory is on.
func spaceOf(dir string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{}, fmt.Errorf("ask how much room there is in %s: %w", dir, err)
	}
	return space{free: s.Bavail * uint64(s.Bsize), size: s.Blocks * uint64(s.Bsize)}, nil
}

// floor is how much should be free.
func (s space) floor() uint64 { return max(leastFree, min(s.size/leastPart, mostFloor)) }

func (s space) short() bool { return s.free < s.floor() }

// String is the room that is left, as "0.5 GiB free of 8 GiB".
func (s space) String() string {
	return size(int64(s.free)) + " free of " + size(int64(s.size))
}

// spaceProblem is what an operator should know of the disk of the data directory;
// empty while there is room.
func (a *appliance) spaceProblem() string {
	s, err := spaceOf(a.cfg.DataDir)
	switch {
	case err != nil:
		return err.Error()
	case s.short():
		return fmt.Sprintf("the disk of %s is nearly full: %s, and %s should be; on a full disk registrations and changes are refused: make room, or move the directory to a larger disk",
			a.cfg.DataDir, s, size(int64(s.floor())))
	}
	return ""
}

// tellSpace logs that the disk has become nearly full, or is not any more, and
// returns which it is. before is what it returned last.
func (a *appliance) tellSpace(before bool) (short bool) {
	problem := a.spaceProblem()
	switch short = problem != ""; {
	case short && !before:
		a.log.Warn(problem)
	case before && !short:
		a.log.Info("the disk of the data directory has room again", "dir", a.cfg.DataDir)
	}
	return short
}

// spaceMetrics is the room on the disk of dir.
func spaceMetrics(dir string) []prometheus.Collector {
	gauge := func(name, help string, of func(space) uint64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s, err := spaceOf(dir)
			if err != nil {
				return math.NaN()
			}
			return float64(of(s))
		})
	}
	return []prometheus.Collector{
		gauge("dragonfly_disk_free_bytes", "Room left on the disk of the data directory.", func(s space) uint64 { return s.free }),
		gauge("dragonfly_disk_size_bytes", "Size of the disk of the data directory.", func(s space) uint64 { return s.size }),
		gauge("dragonfly_disk_free_wanted_bytes", "Room below which the disk counts as nearly full.", space.floor),
	}
}
