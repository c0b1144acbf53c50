package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// View is all that the operator is shown.
type View struct {
	Name    string // "" before the registration
	State   string
	Doing   string
	Server  string
	Ports   []Port
	Missing []string // what would have to be there
	Problem string   // the last error; "" once it is over
}

// Render is the view as a block of text, readable on a serial line.
func (v View) Render() string {
	var b strings.Builder
	rule := strings.Repeat("-", 64)
	line := func(label, text string) {
		if text = clean(text); text != "" {
			fmt.Fprintf(&b, " %-9s %s\n", label, text)
		}
	}
	b.WriteString("\n" + rule + "\n Dragonfly\n" + rule + "\n")
	if v.Name == "" {
		line("machine", "not registered yet")
	} else {
		line("machine", v.Name)
	}
	line("state", v.State)
	line("server", v.Server)
	for _, p := range v.Ports {
		line("port", p.line())
	}
	line("now", v.Doing)
	for _, m := range v.Missing {
		line("MISSING", m)
	}
	line("PROBLEM", v.Problem)
	b.WriteString(rule + "\n")
	return b.String()
}

func (p Port) line() string {
	text := p.Name + "  " + p.MAC.String() + "  "
	switch {
	case p.Problem != "":
		return text + p.Problem
	case !p.Link:
		return text + "no link"
	case p.Address.IsValid():
		return text + p.Address.String()
	}
	return text + "asking for an address"
}

// drawFor is how long changes are collected before they are drawn: a serial line
// takes a tenth of a second for a page.
const drawFor = 200 * time.Millisecond

// screen draws a view when it has changed. It is safe for concurrent use.
type screen struct {
	console *Console
	dirty   chan struct{} // holds one

	mu    sync.Mutex
	view  View
	drawn string
}

func newScreen(console *Console) *screen {
	return &screen{console: console, dirty: make(chan struct{}, 1)}
}

// change changes the view; it is drawn soon.
func (s *screen) change(f func(*View)) {
	s.mu.Lock()
	f(&s.view)
	s.mu.Unlock()
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// doing shows what happens now, without a problem.
func (s *screen) doing(what string) {
	s.change(func(v *View) { v.Doing, v.Problem = what, "" })
}

// run draws until ctx ends, and then once more.
func (s *screen) run(ctx context.Context) {
	for {
		select {
		case <-s.dirty:
			pause(ctx, drawFor)
			s.draw()
		case <-ctx.Done():
			s.draw()
			return
		}
	}
}

func (s *screen) draw() {
	s.mu.Lock()
	text := s.view.Render()
	same := text == s.drawn
	s.drawn = text
	s.mu.Unlock()
	if !same {
		s.console.Page(text)
	}
}

// ports is a copy of the ports that are shown.
func (s *screen) ports() []Port {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.view.Ports)
}
