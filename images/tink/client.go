package tink

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"dragonfly/registry"
)

// callFor is how long a call may take: Tink server tries for a minute before it says
// that there is nothing to do.
const callFor = 90 * time.Second

// Server is where Tink server is.
type Server struct {
	Authority string // host:port
	TLS       bool
	Insecure  bool // whatever certificate it shows is taken
}

// Client calls Tink server. It is safe for concurrent use.
type Client struct {
	http *http.Client
	base string
}

// NewClient returns a client of one server; nothing is sent yet.
func NewClient(to Server) *Client {
	var protocols http.Protocols
	scheme := "http"
	if protocols.SetUnencryptedHTTP2(true); to.TLS {
		scheme = "https"
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(false)
	}
	return &Client{base: scheme + "://" + to.Authority, http: &http.Client{Timeout: callFor, Transport: &http.Transport{
		Protocols:           &protocols,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: to.Insecure}, // tinkerbell_insecure_tls asks for it
		TLSHandshakeTimeout: 10 * time.Second,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}}}
}

// GetAction asks for what agent is to do next, and shows the server what was found in
// its machine. A refusal is an [*Error]: NotFound where there is nothing to do, and
// FailedPrecondition where there is not yet.
func (c *Client) GetAction(ctx context.Context, agent string, found registry.Hardware) (a Action, err error) {
	reply, err := c.call(ctx, getAction, request{agent, attributes(found)}.marshal())
	if err == nil {
		err = a.unmarshal(reply)
	}
	if err != nil {
		return Action{}, fmt.Errorf("ask for an action: %w", err)
	}
	return a, nil
}

// ReportActionStatus says what became of an action. A refusal is an [*Error].
func (c *Client) ReportActionStatus(ctx context.Context, s Status) error {
	if _, err := c.call(ctx, reportStatus, s.marshal()); err != nil {
		return fmt.Errorf("report that %q is %s: %w", s.Name, s.State, err)
	}
	return nil
}

// call makes one unary call.
func (c *Client) call(ctx context.Context, method string, message []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+method, bytes.NewReader(frame(message)))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Content-Type": {contentType}, "Te": {"trailers"}, "User-Agent": {"dragonfly-agent"}}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s; it is no Tink server, or a proxy stands before it", c.base, resp.Status)
	}
	reply, err := unframe(resp.Body, maxMessage)
	if refused := outcome(resp); refused != nil {
		return nil, refused
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return reply, err
}

// outcome is what the trailers say; those of an answer without a message are in its
// header. nil: the call succeeded, or it broke before its end.
func outcome(resp *http.Response) error {
	from := resp.Trailer
	if from.Get("Grpc-Status") == "" {
		from = resp.Header
	}
	text := from.Get("Grpc-Status")
	if text == "" || text == "0" {
		return nil
	}
	code, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		code = uint64(Unknown)
	}
	return &Error{Code(code), decodeMessage(from.Get("Grpc-Message"))}
}
