package node

import (
	"bufio"
	"context"
	"log"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logger is a standard logger for rqlite that ends in ours.
func logger(to *slog.Logger) *log.Logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return log.New(sink{to}, "", 0)
}

// sink passes on what rqlite logs.
type sink struct{ to *slog.Logger }

// Write logs one line.
func (s sink) Write(line []byte) (int, error) {
	tell(s.to, strings.TrimSpace(string(line)))
	return len(line), nil
}

// prefixed is a line with what rqlite and raft put before it: the part it is from,
// the time, and sometimes a level.
var prefixed = regexp.MustCompile(`(?s)^(?:\[([a-z-]+)\] )?(?:\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d\S* )?(?:\[[A-Z]+\] *)?(.*)$`)

// tell logs a line of rqlite's. It has no level that can be relied on: what failed is
// a warning, the rest is for whoever looks closely. The message is always the same one,
// so that a log which bounds how often one is written bounds these.
func tell(to *slog.Logger, line string) {
	level := slog.LevelDebug
	if strings.Contains(line, "failed") || strings.Contains(line, "[ERR") {
		level = slog.LevelWarn
	}
	parts := prefixed.FindStringSubmatch(line)
	to.Log(context.Background(), level, "rqlite", "part", parts[1], "says", parts[2])
}

// Divert has what libraries write to standard error logged instead, until restore is
// called: raft, its network and the store of its snapshots log there whatever they are
// told, as often as something fails. What has taken [os.Stderr] before, and the runtime
// when it panics, go on with the real one.
func Divert(log *slog.Logger) (restore func(), err error) {
	real, realOfRaft := os.Stderr, hclog.DefaultOutput
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	os.Stderr, hclog.DefaultOutput = to, to
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewReader(from)
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				tell(log, line)
			}
			if err != nil {
				return
			}
		}
	}()
	return func() {
		os.Stderr, hclog.DefaultOutput = real, realOfRaft
		to.Close()
		<-done
		from.Close()
	}, nil
}
