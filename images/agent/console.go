package agent

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

// Console is where the operator looks: every console of the kernel. It is safe
// for concurrent use. A console that cannot be written to is passed over: a
// screen that was pulled out must not stop a machine.
type Console struct {
	mu    sync.Mutex
	lines []io.Writer // serial lines: text only ever goes on
	ttys  []io.Writer // screens: cleared before a new page
}

// NewConsole writes to serial lines and to screens.
func NewConsole(lines, ttys []io.Writer) *Console {
	return &Console{lines: lines, ttys: ttys}
}

// openConsoles opens what the kernel names in /sys/class/tty/console/active, and
// first, where that says nothing, the one it opened for us.
func openConsoles(root tree) *Console {
	c := &Console{}
	for _, name := range strings.Fields(root.text("sys/class/tty/console/active")) {
		f, err := os.OpenFile(path.Join("/dev", path.Base(name)), os.O_WRONLY, 0)
		switch {
		case err != nil:
		case len(strings.Trim(name, "0123456789")) == len("tty"): // tty0, not ttyS0 or ttyAMA0
			c.ttys = append(c.ttys, f)
		default:
			c.lines = append(c.lines, f)
		}
	}
	if len(c.lines)+len(c.ttys) == 0 {
		c.lines = []io.Writer{os.Stderr}
	}
	return c
}

// Write sends p to every console.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range append(c.lines[:len(c.lines):len(c.lines)], c.ttys...) {
		_, _ = w.Write(p)
	}
	return len(p), nil
}

// Page shows text: alone on a screen, below what there was on a serial line.
func (c *Console) Page(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.lines {
		_, _ = io.WriteString(w, text)
	}
	for _, w := range c.ttys {
		_, _ = io.WriteString(w, "\x1b[H\x1b[2J"+text) // ECMA-48: cursor home, erase all
	}
}

// Logger logs to w with the time since the kernel started in place of the date:
// the clock of a machine without an operating system is often wrong.
func Logger(w io.Writer, uptime func() time.Duration) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey && len(groups) == 0 {
				return slog.String("up", fmt.Sprintf("%.2f", uptime().Seconds()))
			}
			return attr
		},
	}))
}
