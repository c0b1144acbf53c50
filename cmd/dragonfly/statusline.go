package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// statusLine is a line on standard error that is written over on a terminal. On
// anything else there is a line for each stage.
type statusLine struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex // a transport may read on in a body after its request was answered
	last  string
	at    time.Time
	ended bool
}

func newStatusLine(cmd *cobra.Command) *statusLine {
	w := cmd.ErrOrStderr()
	file, ok := w.(*os.File)
	return &statusLine{w: w, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

func (l *statusLine) progress(stage string, done, total int64, rate float64) {
	if !l.terminal {
		l.say(stage)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || time.Since(l.at) < followEvery/2 && done < total {
		return
	}
	l.at = time.Now()
	text := stage
	if total > 0 {
		text += fmt.Sprintf(" %3d %%, %s of %s", done*100/total, size(done), size(total))
	} else if done > 0 {
		text += " " + size(done)
	}
	if rate > 0 {
		text += ", " + size(int64(rate)) + "/s"
	}
	fmt.Fprintf(l.w, "\r\x1b[K%s", text)
	l.last = text
}

// say writes a text, unless it is the one that was written last.
func (l *statusLine) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || text == l.last {
		return
	}
	if l.terminal {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
	fmt.Fprintln(l.w, text)
	l.last = text
}

// end clears the line; nothing is written after it.
func (l *statusLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.terminal && l.last != "" && !l.ended {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
	l.ended = true
}
