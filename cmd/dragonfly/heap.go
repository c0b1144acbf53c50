package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// minGarbage is how many bytes of garbage the heap may gather, at least, before it is
// collected: some 2,000 machines that register. Go lets a heap double, and would collect a
// small one after each 300 of them; a rack that is switched on would wait for that.
const minGarbage = 160 << 20

// tendHeap keeps to minGarbage until ctx ends. An operator who sets GOGC has the last
// word.
func tendHeap(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for set := 0; ; {
		if percent := gcPercent(liveHeap()); percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// liveHeap is how many bytes the last collection left.
func liveHeap() uint64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return live[0].Value.Uint64()
}

// gcPercent is the percentage of a live heap of so many bytes that may be garbage: as
// Go has it, or minGarbage where that is more. In steps, since to set it stops everything.
func gcPercent(live uint64) int {
	const step = 25
	return max(100, int(100*minGarbage/max(live, 8<<20))/step*step)
}
