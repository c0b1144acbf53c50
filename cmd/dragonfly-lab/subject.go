package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// subject is the appliance that is measured: a process of its own on a free port
// of the loopback address.
type subject struct {
	*process
	url    string
	data   string
	client *api.Client  // with an API token
	viewer *http.Client // signed in to the UI
}

const (
	benchUser     = "bench"
	benchPassword = "a long enough password"
)

// startSubject starts the appliance on a data directory, and returns how long it
// took until it was ready.
func startSubject(ctx context.Context, binary, data string, flags ...string) (*subject, time.Duration, error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer log.Close() // the child has its own
	begin := time.Now()
	command := append([]string{binary, "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--data-dir", data}, flags...)
	p, err := start("dragonfly", log, command...)
	if err != nil {
		return nil, 0, err
	}
	s := &subject{process: p, url: "http://127.0.0.1:" + strconv.Itoa(port), data: data}
	if err := s.ready(ctx); err != nil {
		return nil, 0, errors.Join(err, s.stop(stopGrace))
	}
	return s, time.Since(begin), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *subject) pid() int { return s.cmd.Process.Pid }

// ready waits until the appliance says that it is.
func (s *subject) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("not ready within a minute; its log is %s.log", s.data))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(s.url + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.done:
			return s.ended()
		case <-tick.C:
		}
	}
}

// enter makes an account on the control socket where there is none, signs in to
// the UI, and takes an API token. Checking a password takes 64 MiB for a moment.
func (s *subject) enter(ctx context.Context) error {
	socket := filepath.Join(s.data, "dragonfly.sock")
	console := &api.Client{Base: "http://localhost", HTTP: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}}
	err := console.CreateUser(ctx, benchUser, api.UserChange{Password: benchPassword, Role: registry.Admin})
	if err != nil && api.Status(err) != http.StatusPreconditionFailed {
		return err
	}
	token, err := console.CreateToken(ctx, api.TokenRequest{Name: fmt.Sprintf("bench-%d", s.pid()), Owner: benchUser, Role: registry.Admin})
	if err != nil {
		return err
	}
	s.client = &api.Client{Base: s.url, Token: token.Secret}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	s.viewer = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := s.viewer.PostForm(s.url+"/login", url.Values{"name": {benchUser}, "password": {benchPassword}})
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("POST /login: %s", resp.Status)
	}
	return nil
}

// copyQuiet is how long the copy of the last known state is not written once it is
// complete; while it is made, that happens every few milliseconds.
const copyQuiet = 2 * time.Second

// awaitCopy waits until the copy of the last known state is complete, and returns how
// long that took.
func (s *subject) awaitCopy(ctx context.Context, limit time.Duration) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the copy of the last known state is still written %s after the start", limit))
	defer cancel()
	for {
		stat, err := os.Stat(filepath.Join(s.data, lastKnownFile))
		if err != nil {
			return 0, err
		}
		if written := stat.ModTime(); time.Since(written) > copyQuiet {
			return max(0, written.Sub(begin)), nil
		}
		select {
		case <-ctx.Done():
			return time.Since(begin), context.Cause(ctx)
		case <-time.After(copyQuiet / 10):
		}
	}
}
