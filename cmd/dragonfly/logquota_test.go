package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(withQuota(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
		lines := func() (n int) {
			n = strings.Count(out.String(), "\n")
			out.Reset()
			return n
		}
		for i := range 5 * logBurst { // each of them with attributes of its own, as a flood has
			log.With("interface", "eth0").Info("boot script", "mac", i)
		}
		if n := lines(); n != logBurst {
			t.Errorf("a flood left %d lines, want %d", n, logBurst)
		}
		log.Info("another message")
		log.Debug("boot script")
		if n := lines(); n != 2 {
			t.Errorf("another message, and a debug line: %d lines, want 2", n)
		}
		time.Sleep(time.Second)
		log.Info("boot script")
		if text := out.String(); !strings.Contains(text, "left_out=4000") {
			t.Errorf("a second later: %q, want a count of the lines that were left out", text)
		}
		out.Reset()
		for range 5 * logBurst {
			log.Info("boot script")
		}
		if n := lines(); n != logRate-1 {
			t.Errorf("the second after a flood: %d lines, want %d", n, logRate-1)
		}
		for i := range 3 * maxBuckets { // made-up messages do not take memory for ever
			log.Info(strings.Repeat("x", i))
		}
		if n := len(log.Handler().(quotaHandler).quota.buckets); n > maxBuckets {
			t.Errorf("%d messages under count, at most %d", n, maxBuckets)
		}
	})
}
