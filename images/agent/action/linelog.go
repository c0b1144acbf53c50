package action

import (
	"bytes"
	"strings"
)

// The bounds of what a program may print into the log.
const (
	maxLine  = 1000 // bytes; the rest is the next line
	maxLines = 5000 // of one program
)

// lineLog cuts what a program prints into lines for the log. It never stops a
// program that prints too much; that is left out.
type lineLog struct {
	log     func(format string, args ...any)
	part    []byte
	lines   int
	omitted int
	last    string // the last line that was not blank
}

// Write takes what was printed. A carriage return ends a line too: progress bars
// write over one and the same.
func (l *lineLog) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\r\n")
		piece := p
		if i >= 0 {
			piece, p = p[:i], p[i+1:]
		} else {
			p = nil
		}
		for room := maxLine - len(l.part); len(piece) > room; room = maxLine {
			l.part = append(l.part, piece[:room]...)
			piece = piece[room:]
			l.flush()
		}
		if l.part = append(l.part, piece...); i >= 0 {
			l.flush()
		}
	}
	return n, nil
}

func (l *lineLog) flush() {
	line := strings.TrimRight(string(l.part), " \t")
	if l.part = l.part[:0]; line == "" {
		return
	}
	l.last = line
	if l.lines++; l.lines > maxLines {
		l.omitted++
		return
	}
	l.log("%s", line)
}

// end takes the last line, and says how much was left out.
func (l *lineLog) end() {
	l.flush()
	if l.omitted > 0 {
		l.log("%d lines more were printed", l.omitted)
	}
}
