package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"dragonfly/registry"
)

// frames encodes events for streams. Streams that keep up ask for the same events
// at the same tick, so each batch is encoded once and its bytes are shared.
type frames struct {
	mu     sync.Mutex
	recent []batch // the newest last, at most maxBatches
}

// maxBatches is how many batches are shared: those of streams that started at
// another event, and of those a tick late.
const maxBatches = 32

type batch struct {
	first, last mark // of its first and last event
	data        []byte
}

// mark tells an event from those that had its number before the database was restored
// to an older state.
type mark struct {
	seq int64
	at  time.Time
}

func markOf(e registry.Event) mark { return mark{e.Seq, e.At} }

// encode returns the events as server-sent events (WHATWG HTML section 9.2).
// The bytes are shared: they must not be changed.
func (f *frames) encode(events []registry.Event) []byte {
	first, last := markOf(events[0]), markOf(events[len(events)-1])
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range slices.Backward(f.recent) {
		if b.first == first && b.last == last {
			return b.data
		}
	}
	var data []byte
	for _, e := range events {
		text, _ := json.Marshal(eventOf(e)) // strings and numbers only: cannot fail
		data = fmt.Appendf(data, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, text)
	}
	if len(f.recent) == maxBatches {
		f.recent = slices.Delete(f.recent, 0, 1)
	}
	f.recent = append(f.recent, batch{first, last, data})
	return data
}
