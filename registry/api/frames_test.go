package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

func happened(from, to int64) (events []registry.Event) {
	for seq := from; seq <= to; seq++ {
		events = append(events, registry.Event{Seq: seq, At: time.Unix(seq, 0).UTC(), Kind: registry.MachineBoot,
			Machine: "m-abcdefghijkl", MAC: registry.MAC{2, 0, 0, 0, 0, 1}, Message: "line\nbreak <b>"})
	}
	return events
}

func TestFramesAreEncodedOnce(t *testing.T) {
	var f frames
	first := f.encode(happened(1, 10))
	if again := f.encode(happened(1, 10)); &again[0] != &first[0] {
		t.Error("the same events were encoded twice")
	}
	if other := f.encode(happened(2, 10)); bytes.Equal(other, first) {
		t.Error("other events have the same bytes")
	}
	for i := range int64(100) {
		f.encode(happened(i+1, i+2))
	}
	if len(f.recent) != maxBatches {
		t.Errorf("%d batches are kept, want %d", len(f.recent), maxBatches)
	}
}

func TestFramesAreReadBack(t *testing.T) {
	s := &Server{}
	var stream bytes.Buffer
	for _, step := range []struct{ after, from, to int64 }{{0, 1, 3}, {3, 0, -1}, {3, 8, 9}} {
		if err := s.write(&stream, happened(step.from, step.to), step.after); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := readEvents(&stream, func(e Event) error {
		got = append(got, fmt.Sprintf("%d %s", e.ID, e.Kind))
		return nil
	})
	want := []string{"1 machine.boot", "2 machine.boot", "3 machine.boot", "7 resync", "8 machine.boot", "9 machine.boot"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %q, %v", got, err)
	}
}

// A frame ends where events are no longer kept, so that the next one begins by saying so.
func TestFrameOf(t *testing.T) {
	for _, tt := range []struct {
		events []registry.Event
		last   int64
		more   bool
	}{
		{happened(4, 9), 9, false},
		{slices.Concat(happened(4, 6), happened(9, 12)), 6, true},
		{happened(1, maxFrame), maxFrame, false},
		{happened(1, maxFrame+1), maxFrame, true},
	} {
		first, more := frameOf(tt.events)
		if first[len(first)-1].Seq != tt.last || more != tt.more {
			t.Errorf("%d events from %d: to %d, more %t; want %d, %t", len(tt.events), tt.events[0].Seq, first[len(first)-1].Seq, more, tt.last, tt.more)
		}
	}
	if none, more := frameOf(nil); len(none) > 0 || more {
		t.Errorf("of nothing: %v, more %t", none, more)
	}
}

func TestStreamsThatAreNotEvents(t *testing.T) {
	for _, bad := range []string{"data: {\n\n", "data: [1]\n\n", "data: " + strings.Repeat("x", maxEvent+1)} {
		if err := readEvents(strings.NewReader(bad), func(Event) error { return nil }); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
}

// What a second costs with a thousand streams and a hundred events: in ticks, as
// [Server.stream] writes, and with a write for every event and stream.
func BenchmarkStreams(b *testing.B) {
	const streams, perSecond, ticks = 1000, 100, 10
	events := happened(1, perSecond)
	b.Run("ticks", func(b *testing.B) {
		for b.Loop() {
			s := &Server{}
			for tick := range slices.Chunk(events, perSecond/ticks) {
				for range streams {
					_ = s.write(io.Discard, tick, tick[0].Seq-1)
				}
			}
		}
	})
	b.Run("each", func(b *testing.B) {
		for b.Loop() {
			for i := range events {
				for range streams {
					s := &Server{}
					_ = s.write(io.Discard, events[i:i+1], events[i].Seq-1)
				}
			}
		}
	})
}

// A stream that breaks off before anything has happened is taken up where it began.
func TestStreamBreaksOffAtOnce(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if len(asked) == 1 {
			_, _ = io.WriteString(w, "id: 7\n\n: still here\n\n")
			return
		}
		_, _ = io.WriteString(w, "id: 8\nevent: machine.boot\ndata: {\"id\":8,\"kind\":\"machine.boot\"}\n\n")
	}))
	defer server.Close()
	enough := errors.New("enough")
	err := (&Client{Base: server.URL}).Events(t.Context(), -1, func(e Event) error {
		if e.ID != 8 {
			t.Errorf("%+v", e)
		}
		return enough
	})
	if !errors.Is(err, enough) || !slices.Equal(asked, []string{"", "after=7"}) {
		t.Errorf("%v; asked for %q", err, asked)
	}
}
