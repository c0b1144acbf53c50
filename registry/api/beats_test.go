package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dragonfly/registry/api"
)

// TestStreamsInStep follows events by streams that begin now and later, at any pace. Each
// stream gets all of them in their order, and when the last one has gone nothing is left.
func TestStreamsInStep(t *testing.T) {
	s := serve(t)
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	const streams, last = 24, 61
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var all errgroup.Group
	for i := range streams {
		all.Go(func() error {
			time.Sleep(time.Duration(i%3) * 150 * time.Millisecond)
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/events?after=0", nil)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			return follow(resp.Body, last, time.Duration(i)*time.Millisecond)
		})
	}
	client := &api.Client{Base: s.URL}
	for i := range last - 1 {
		time.Sleep(rand.N(25 * time.Millisecond)) // within a tick, and over its end
		if _, err := client.Edit(ctx, reply.ID, api.PatchRequest{Note: new(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		if !strings.Contains(stacks.String(), "(*beats).run") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the beats go on without a stream")
		}
	}
}

// follow reads events until the last one, with a pause after each.
func follow(stream io.Reader, last int, pause time.Duration) error {
	lines := bufio.NewScanner(stream)
	for n := 0; n < last && lines.Scan(); {
		id, found := strings.CutPrefix(lines.Text(), "id: ")
		if !found {
			continue
		}
		if n++; id != fmt.Sprint(n) {
			return fmt.Errorf("event %s where %d is next", id, n)
		}
		time.Sleep(pause)
	}
	return lines.Err()
}
