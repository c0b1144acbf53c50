package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// viewer follows the events as one open page does, and counts what it missed.
type viewer struct {
	http  *http.Client
	url   string
	token string

	last    int64 // the number of the last event; 0 before the first
	events  int
	lost    int // numbers that were passed over
	again   int // events that came twice
	resyncs int // told to load anew
	told    int // events missed by a resync, which says so
}

// follow reads the stream from the last event on, until ctx ends or the stream
// does, which is no error.
func (v *viewer) follow(ctx context.Context) error {
	resp, err := v.open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	v.read(resp.Body)
	return nil
}

func (v *viewer) open(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	if v.last > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(v.last, 10))
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", v.url, resp.Status)
	}
	return resp, nil
}

// read counts the events of a stream until it ends. An event that is cut off does
// not count, as in a browser.
func (v *viewer) read(stream io.Reader) {
	lines := bufio.NewReaderSize(stream, 16<<10)
	var id int64
	resync := false
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		switch text, isID := bytes.CutPrefix(line, []byte("id: ")); {
		case isID:
			id, _ = strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
		case bytes.HasPrefix(line, []byte("event: resync")):
			resync = true
		case len(bytes.TrimSpace(line)) == 0 && id > 0:
			v.take(id, resync)
			id, resync = 0, false
		}
	}
}

func (v *viewer) take(id int64, resync bool) {
	switch {
	case resync:
		v.resyncs++
		v.told += int(id - v.last)
	case v.last > 0 && id <= v.last:
		v.again++
	case v.last > 0:
		v.lost += int(id - v.last - 1)
		v.events++
	}
	v.last = max(v.last, id)
}

// audience is viewers that all follow at once.
type audience []*viewer

// newAudience is n viewers with a connection each, which has room for buffer bytes
// where that is not 0.
func newAudience(n int, url, token string, buffer int) audience {
	dialer := &net.Dialer{}
	if buffer > 0 {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
			})
			return errors.Join(err, failed)
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}}
	all := make(audience, n)
	for i := range all {
		all[i] = &viewer{http: client, url: url, token: token}
	}
	return all
}

// follow lets everybody follow until ctx ends. Each breaks off once, somewhere
// within the given time, and resumes.
func (a audience) follow(ctx context.Context, within time.Duration) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, v := range a {
		group.Go(func() error {
			first, cancel := context.WithTimeout(ctx, within*time.Duration(i+1)/time.Duration(len(a)+1))
			defer cancel()
			for _, ctx := range []context.Context{first, ctx} {
				if err := v.follow(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// total adds up what a field is over all viewers.
func (a audience) total(of func(*viewer) int) (sum int) {
	for _, v := range a {
		sum += of(v)
	}
	return sum
}

// happen makes about rate events a second until ctx ends, by asking for the boot
// scripts of machines; each is an event of its machine.
func (b *bench) happen(ctx context.Context, s *subject, rate int) error {
	const tick = 20 * time.Millisecond
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for owed := 0.0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
		for owed += float64(rate) * tick.Seconds(); owed >= 1; owed-- {
			if _, _, err := s.ask(ctx, question{path: b.bootScript}); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}
