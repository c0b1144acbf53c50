package ui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"dragonfly/registry"
)

// BenchmarkPage is a page of 100 machines of 5,000, from the request to the
// packed answer.
func BenchmarkPage(b *testing.B) {
	for _, coding := range []string{"", "gzip"} {
		b.Run("coding="+coding, func(b *testing.B) {
			u := newUI(b, newRack(5000))
			r := httptest.NewRequest(http.MethodGet, "/machines?after=delta", nil)
			r.Header.Set("Accept-Encoding", coding)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				u.ServeHTTP(w, r)
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}

// BenchmarkRows is the rendering alone.
func BenchmarkRows(b *testing.B) {
	k := newRack(100)
	board := newBoard(k, k, k)
	if _, err := board.step(b.Context(), time.Now()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		html, err := fragment(b.Context(), tableRows(board.rows(k.machines, time.Now(), true), usualColumns(), true))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(html)), "bytes")
	}
}

// BenchmarkStep is what one tick costs in a rack of 5,000 where 100 machines
// changed.
func BenchmarkStep(b *testing.B) {
	k := newRack(5000)
	board := newBoard(k, k, k)
	if _, err := board.step(b.Context(), time.Now()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		k.events = nil
		board.seq = 0
		for i := range 100 {
			k.tell(registry.Event{Kind: registry.MachineBoot, Machine: fmt.Sprintf("m-%012d", i*50), Message: "kernel: sent"})
		}
		b.StartTimer()
		if _, err := board.step(b.Context(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
