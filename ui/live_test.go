package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
)

// browser is an open page that receives the stream of u. Its Write is what the
// network would be.
type browser struct {
	*httptest.ResponseRecorder
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	stall  chan struct{} // a write waits for it
	leave  context.CancelFunc
}

// open starts a page that has seen the frame with this number.
func open(t *testing.T, u *UI, seen any, header ...string) *browser {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &browser{ResponseRecorder: httptest.NewRecorder(), leave: cancel}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("/live?after=%v", seen), nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	go u.ServeHTTP(b, r)
	synctest.Wait()
	return b
}

func (b *browser) Write(data []byte) (int, error) {
	b.mu.Lock()
	stall := b.stall
	b.mu.Unlock()
	if stall != nil {
		<-stall
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	return b.text.Write(data)
}

// take returns what has arrived since the last take.
func (b *browser) take() string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.text.String()
	b.text.Reset()
	b.writes = 0
	return text
}

// settle gives the follower time for a frame.
func settle() { time.Sleep(2 * tick); synctest.Wait() }

func TestLiveRowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(3)
		u := newUI(t, k)
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		if got := b.take(); strings.Contains(got, "event: list") || !strings.Contains(got, `id="problems"`) {
			t.Errorf("a page that is up to date is told %q", got)
		}
		k.put(k.machines[1], registry.MachineBoot, "initrd: sent")
		settle()
		got := b.take()
		for _, want := range []string{"id: ", `<tr id="m-000000000001" data-turn="b" hx-swap-oob="outerMorph">`, "initrd: sent", `<ul id="counters"`} {
			if !strings.Contains(got, want) {
				t.Errorf("the frame lacks %q: %s", want, got)
			}
		}
		if strings.Contains(got, "event: list") || strings.Count(got, "<tr") != 1 {
			t.Errorf("more than the changed row is sent: %s", got)
		}
	})
}

func TestLiveCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(10)
		u := newUI(t, k)
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		b.take()
		start := u.live.cursor()
		for i := range 500 { // one a millisecond
			k.put(k.machines[i%10], registry.MachineBoot, fmt.Sprintf("step %d", i))
			time.Sleep(time.Millisecond)
		}
		settle()
		if n := u.live.cursor() - start; n < 5 || n > 7 {
			t.Errorf("500 events in half a second became %d frames, want about 6", n)
		}
		if got := b.take(); !strings.Contains(got, "step 499") {
			t.Error("the last event did not arrive")
		}
	})
}

func TestLiveRendersOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(3)
		u := newUI(t, k)
		get(t, u, "/machines")
		at := u.live.cursor()
		var all []*browser
		for range 50 {
			all = append(all, open(t, u, at))
			defer all[len(all)-1].leave()
			all[len(all)-1].take()
		}
		before := k.queries
		k.put(k.machines[0], registry.MachineBoot, "kernel: sent")
		settle()
		if n := k.queries - before; n != 1 {
			t.Errorf("%d queries for one change and 50 pages, want 1", n)
		}
		first := all[0].take()
		for i, b := range all[1:] {
			if b.take() != first {
				t.Errorf("page %d was sent something else", i+1)
			}
		}
		one, _, _, _ := u.live.since(at)
		two, _, _, _ := u.live.since(at)
		if len(one) != 1 || &one[0].encoded(t.Context(), usualColumns())[0] != &two[0].encoded(t.Context(), usualColumns())[0] {
			t.Error("the bytes of a frame are not shared")
		}
	})
}

func TestLiveListChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(k *rack)
	}{
		{"a machine appears", func(k *rack) { k.put(testMachine(7), registry.MachineDiscovered, "seen") }},
		{"a machine is renamed", func(k *rack) {
			m := k.machines[0]
			m.Name = "zz-last"
			k.put(m, registry.MachineRegistered, "renamed")
		}},
		{"a machine is merged away", func(k *rack) { k.remove(k.machines[0].ID, k.machines[1].ID) }},
		{"a machine is deleted", func(k *rack) {
			gone := k.machines[2]
			k.machines = k.machines[:2]
			k.tell(registry.Event{Kind: registry.MachineOffline, Machine: gone.ID})
		}},
		{"a whole rack boots", func(k *rack) {
			for i := range 150 {
				k.put(testMachine(i), registry.MachineBoot, "boot")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newRack(3)
				u := newUI(t, k)
				get(t, u, "/machines")
				b := open(t, u, u.live.cursor())
				defer b.leave()
				b.take()
				c.change(k)
				settle()
				got := b.take()
				if strings.Count(got, "event: list\n") != 1 || !strings.Contains(got, `id="counters"`) {
					t.Errorf("got %s", got)
				}
				if want := fmt.Sprintf("of %d", len(k.machines)); !strings.Contains(get(t, u, "/machines/rows").Body.String(), want) {
					t.Errorf("the list does not say %q", want)
				}
			})
		})
	}
}

func TestLiveListIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(0)
		u := newUI(t, k)
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		b.take()
		for i := range 30 { // three seconds of machines
			k.put(testMachine(i), registry.MachineDiscovered, "seen")
			time.Sleep(tick)
		}
		time.Sleep(2 * listTick)
		if n := strings.Count(b.take(), "event: list\n"); n < 3 || n > 5 {
			t.Errorf("the list was to be read again %d times in 3 s, want about 4", n)
		}
		if got := get(t, u, "/machines/rows").Body.String(); !strings.Contains(got, "1–30 of 30") {
			t.Error("the last machine is not in the list")
		}
	})
}

// A machine that falls silent goes offline on the page without any event.
func TestLiveOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(2)
		u := newUI(t, k)
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		b.take()
		time.Sleep(registry.OnlineFor + recheck)
		if got := b.take(); !strings.Contains(got, `<tr id="m-000000000000"`) || !strings.Contains(got, "offline,") {
			t.Errorf("the page was told %s", got)
		}
		time.Sleep(time.Minute)
		if got := b.take(); strings.Contains(got, "<tr") {
			t.Errorf("and then again: %s", got)
		}
	})
}

func TestLiveResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(3)
		u := newUI(t, k)
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		seen := u.live.cursor()
		k.put(k.machines[0], registry.MachineBoot, "missed by the other")
		settle()
		for _, c := range []struct {
			name, id string
			want     string
		}{
			{"just before", fmt.Sprint(seen), "missed by the other"},
			{"long ago", fmt.Sprint(seen - 1000), "event: list"},
			{"after a restart", fmt.Sprint(seen + 1000), "event: list"},
			{"nonsense", "<x>", "event: list"},
		} {
			again := open(t, u, u.live.cursor(), "Last-Event-ID", c.id)
			if got := again.take(); !strings.Contains(got, c.want) {
				t.Errorf("%s: the page is told %q", c.name, got)
			}
			again.leave()
		}
		b.leave()
		synctest.Wait()
		k.put(k.machines[0], registry.MachineBoot, "nobody watches")
		seen = u.live.cursor()
		get(t, u, "/machines") // another page takes the event
		last := open(t, u, seen)
		defer last.leave()
		if got := last.take(); !strings.Contains(got, "event: list") {
			t.Errorf("a page that was away is told %q", got)
		}
	})
}

func TestLiveSlowBrowserCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(3)
		u := newUI(t, k)
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		b.take()
		gate := make(chan struct{})
		b.mu.Lock()
		b.stall = gate
		b.mu.Unlock()
		for i := range 500 {
			k.put(k.machines[0], registry.MachineBoot, fmt.Sprint("step ", i))
			time.Sleep(tick)
		}
		synctest.Wait()
		if parts, _, lost, _ := u.live.since(u.live.cursor() - maxFrames - 1); !lost {
			t.Errorf("%d frames are kept, want at most %d", len(parts), maxFrames)
		}
		close(gate)
		got := b.take()
		if strings.Count(got, "event: list") != 1 || strings.Contains(got, "step 300") {
			t.Errorf("a browser that woke up is told %d bytes: %.300s", len(got), got)
		}
	})
}

func TestLiveHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		wrong := []string{"the disk is full: make room"}
		u := newUI(t, newRack(1), func(c *Config) {
			c.Problems = func() []string { mu.Lock(); defer mu.Unlock(); return wrong }
		})
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		if got := b.take(); !strings.Contains(got, "the disk is full") {
			t.Errorf("first %q", got)
		}
		mu.Lock()
		wrong = nil
		mu.Unlock()
		time.Sleep(heartbeat)
		if got := b.take(); !strings.HasPrefix(got, "id: ") || strings.Contains(got, "full") {
			t.Errorf("then %q", got)
		}
	})
}

// The store goes away and comes back: nothing is lost, one line is logged for
// each.
func TestLiveStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		k := newRack(3)
		u := newUI(t, k, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		get(t, u, "/machines")
		b := open(t, u, u.live.cursor())
		defer b.leave()
		b.take()
		k.setBroken(errors.New("no leader"))
		k.put(k.machines[0], registry.MachineBoot, "while it was away")
		time.Sleep(10 * time.Second)
		if got := b.take(); strings.Contains(got, "while it was away") {
			t.Errorf("got %s", got)
		}
		k.setBroken(nil)
		time.Sleep(recheck + errorWait)
		if got := b.take(); !strings.Contains(got, "while it was away") {
			t.Errorf("got %s", got)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("%d lines in the log, want 2:\n%s", lines, &log)
		}
	})
}

// Pages that open and close around each other leave one follower, and then none:
// synctest fails where a goroutine is left.
func TestLiveFollowerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newRack(1)
		u := newUI(t, k)
		for range 5 {
			a := open(t, u, u.live.cursor())
			a.leave()
			b := open(t, u, u.live.cursor())
			b.take()
			k.put(k.machines[0], registry.MachineBoot, "kernel: sent")
			settle()
			if got := b.take(); !strings.Contains(got, "kernel: sent") && !strings.Contains(got, "event: list") {
				t.Errorf("the second page hears nothing: %q", got)
			}
			b.leave()
			synctest.Wait()
		}
		if u.live.watchers != 0 {
			t.Errorf("%d watchers are left", u.live.watchers)
		}
	})
}

func TestMessageKeepsEachLineInItsField(t *testing.T) {
	for _, c := range []struct{ event, data, want string }{
		{"", "a", "id: 7\ndata: a\n\n"},
		{"list", "", "id: 7\nevent: list\ndata: \n\n"},
		{"", "a\nevent: x\r\rid: 9\r\nb", "id: 7\ndata: a\ndata: event: x\ndata: \ndata: id: 9\ndata: b\n\n"},
	} {
		if got := string(message(7, c.event, []byte(c.data))); got != c.want {
			t.Errorf("%q: got %q, want %q", c.data, got, c.want)
		}
	}
}
