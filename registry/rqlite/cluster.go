package rqlite

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// cluster is an [http.RoundTripper] that sends a request to one node after the
// other until one answers. It sends writes twice if it must: they are made for
// that.
type cluster struct {
	nodes    []*url.URL
	good     atomic.Int64 // index of the node that answered last
	base     http.RoundTripper
	patience time.Duration // before giving up
	down     atomic.Bool   // patience was in vain, and nobody has answered since
}

func newCluster(nodes []*url.URL, secure *tls.Config) *cluster {
	return &cluster{nodes: nodes, patience: patience, base: &http.Transport{
		TLSClientConfig:       secure,
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: answerTimeout,
		MaxIdleConnsPerHost:   32, // the default of 2 closes connections under load
		IdleConnTimeout:       time.Minute,
		ForceAttemptHTTP2:     true,
	}}
}

// RoundTrip asks the node that answered last, then the others, then all of them
// again, until the patience ends. Where that was in vain the next request asks each
// node once: the outage is known, and somebody waits.
func (c *cluster) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }() // every attempt reads a copy
	}
	ctx, count := req.Context(), len(c.nodes)
	deadline := time.Now()
	if !c.down.Load() {
		deadline = deadline.Add(c.patience)
	}
	first := int(c.good.Load())
	for attempt := 0; ; attempt++ {
		at := (first + attempt) % count
		resp, err := c.ask(req, c.nodes[at])
		if err == nil && !failed(resp) {
			c.good.Store(int64(at))
			c.down.Store(false)
			return resp, nil
		}
		var wait time.Duration
		hopeless := ctx.Err() != nil
		if attempt%count == count-1 { // all were asked
			wait = backoff(attempt / count)
			hopeless = hopeless || distrusted(err) || errors.Is(err, net.ErrClosed)
		}
		if hopeless || time.Now().Add(wait).After(deadline) {
			if ctx.Err() == nil {
				c.down.Store(true)
			}
			if err != nil {
				err = fmt.Errorf("cannot reach rqlite at %s: %w", c, err)
			}
			return resp, err
		}
		if err == nil {
			discard(resp)
		}
		pause(ctx, wait)
	}
}

// ask sends a copy of req to one node.
func (c *cluster) ask(req *http.Request, node *url.URL) (*http.Response, error) {
	if req.Body != nil && req.GetBody == nil {
		return nil, errors.New("the request cannot be sent twice")
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.Host = node.Scheme, node.Host, node.Host
	if user := node.User; user != nil {
		password, _ := user.Password()
		out.SetBasicAuth(user.Username(), password)
	}
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	return c.base.RoundTrip(out)
}

// failed reports whether a node could not carry out a request through no fault of
// the request. It says so by the status or, with status 200, in place of every
// result: when the leader is lost after the write was taken, for one.
func failed(resp *http.Response) bool {
	const noResults = `{"results":[],"error":`
	if resp.StatusCode >= 500 {
		return true
	}
	head := make([]byte, len(noResults))
	n, _ := io.ReadFull(resp.Body, head) // what is wrong with the body shows again later
	resp.Body = &replay{io.MultiReader(bytes.NewReader(head[:n]), resp.Body), resp.Body}
	return string(head[:n]) == noResults
}

// discard frees the connection of an answer nobody wants.
func discard(resp *http.Response) {
	const enough = 64 << 10
	_, _ = io.CopyN(io.Discard, resp.Body, enough) // as much as is worth a connection
	_ = resp.Body.Close()                          // nothing was written to it
}

// backoff is the pause after a round: 20 ms, doubling up to 160 ms, with jitter
// so that the clients of a node that returns do not come all at once.
func backoff(round int) time.Duration {
	wait := 20 * time.Millisecond << min(round, 3)
	return wait/2 + rand.N(wait/2)
}

func pause(ctx context.Context, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// String lists the nodes, without the password.
func (c *cluster) String() string {
	hosts := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		hosts = append(hosts, n.Host)
	}
	return strings.Join(hosts, ", ")
}
