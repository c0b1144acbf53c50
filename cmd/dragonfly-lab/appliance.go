package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"dragonfly/registry/api"
)

// appliancePort is where the appliance listens inside its namespace.
const appliancePort = "3000"

// appliance is the real binary in its namespace, spoken to over the socket in
// its data directory, which counts as the local administrator.
type appliance struct {
	*process
	client *api.Client
	socket string
}

// startAppliance runs binary with the boot services on; extra are further flags.
func startAppliance(n network, o options, dir string, extra []string, log io.Writer) (*appliance, error) {
	data := filepath.Join(dir, "data")
	argv := inside(n.appliance, o.Dragonfly, "serve", "--data-dir", data, "--port", appliancePort,
		"--boot", "--boot-interface", "eth0", "--image-dir", o.ImageDir, "--log-level", "debug")
	p, err := start("dragonfly", log, append(argv, extra...)...)
	if err != nil {
		return nil, err
	}
	a := &appliance{process: p, socket: filepath.Join(data, "dragonfly.sock")}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", a.socket)
	}
	a.client = &api.Client{
		// The dialler ignores the host, and the boot scripts name it to the kernel.
		Base: "http://" + applianceAddress + ":" + appliancePort,
		HTTP: &http.Client{Transport: &http.Transport{DialContext: dial}},
	}
	return a, nil
}

// get opens path; the caller closes the body. An answer other than 200 is an error.
func (a *appliance) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.client.Base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("get %s: %s", path, resp.Status)
	}
	return resp.Body, nil
}

// metrics are those of the appliance, as a text.
func (a *appliance) metrics(ctx context.Context) (string, error) {
	body, err := a.get(ctx, "/metrics")
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

// ready waits until the appliance serves.
func (a *appliance) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit,
		fmt.Errorf("the appliance was not ready within %v", startLimit))
	defer cancel()
	return poll(ctx, func() bool {
		body, err := a.get(ctx, "/readyz")
		if err != nil {
			return false
		}
		body.Close()
		return true
	})
}

// follow hands every event to each, from the first on, until ctx ends.
func (a *appliance) follow(ctx context.Context, each func(api.Event)) error {
	return a.client.Events(ctx, 0, func(e api.Event) error { each(e); return nil })
}

// brokeOff says why the stream of events ended: most likely because the
// appliance did, which is seen a moment later.
func (a *appliance) brokeOff(err error) error {
	select {
	case <-a.done:
		return a.ended()
	case <-time.After(time.Second):
		return fmt.Errorf("the stream of events broke off: %w", cmp.Or(err, io.EOF))
	}
}

// poll asks until yes says so or ctx ends, whose cause is then the error.
func poll(ctx context.Context, yes func() bool) error {
	return pollEvery(ctx, 50*time.Millisecond, yes)
}

// pollEvery is poll for what costs the machines of the lab time to ask.
func pollEvery(ctx context.Context, every time.Duration, yes func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
