package main

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// maxLine bounds what is kept of a console line: firmware draws whole screens
// without ever ending one.
const maxLine = 4096

// maxRecent is how much of the end of a console is kept, to be looked for words.
const maxRecent = 64 << 10

// registeredLine is how the agent says that it is done, and how long it took
// since it was started as /init.
var registeredLine = regexp.MustCompile(`^dragonfly: registered as .* in ([0-9.]+)s$`)

// console is the serial console of a machine: it keeps everything in a log and
// notes when the agent started and how long it took. It is an [io.Writer], safe
// for concurrent use.
type console struct {
	log io.Writer
	now func() time.Time

	mu      sync.Mutex
	recent  []byte // the end of what was printed
	line    []byte
	started time.Time     // when the first agent started
	guest   time.Duration // its time from /init to registered, by the guest's own clock
}

func newConsole(log io.Writer) *console { return &console{log: log, now: time.Now} }

// Write takes what the machine printed.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent = append(c.recent, p...)
	c.recent = c.recent[max(0, len(c.recent)-maxRecent):]
	for _, b := range p {
		if b == '\n' || b == '\r' || len(c.line) == maxLine {
			c.endLine()
			continue
		}
		c.line = append(c.line, b)
	}
	return c.log.Write(p)
}

func (c *console) endLine() {
	m := registeredLine.FindSubmatch(bytes.TrimSpace(c.line))
	c.line = c.line[:0]
	if m == nil || !c.started.IsZero() {
		return // a later boot of the same machine is not what is measured
	}
	if seconds, err := strconv.ParseFloat(string(m[1]), 64); err == nil {
		c.guest = time.Duration(seconds * float64(time.Second))
		c.started = c.now().Add(-c.guest)
	}
}

// shows reports whether text was printed of late.
func (c *console) shows(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.recent, []byte(text))
}

// agent is when the agent started, and the guest time it took to register;
// zero until it has.
func (c *console) agent() (started time.Time, guest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started, c.guest
}
