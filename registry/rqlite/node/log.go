package node

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// logger is a standard logger for rqlite that ends in ours.
func logger(to *slog.Logger) *log.Logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return log.New(sink{to}, "", 0)
}

// sink passes on what rqlite logs. It knows no levels: what failed is a warning,
// the rest is for whoever looks closely.
type sink struct{ to *slog.Logger }

// Write logs one line.
func (s sink) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("failed")) {
		level = slog.LevelWarn
	}
	s.to.Log(context.Background(), level, "rqlite: "+string(bytes.TrimSpace(line)))
	return len(line), nil
}
