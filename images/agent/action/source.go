package action

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fetching over HTTP, so that a broken connection costs what was under way and no
// more: a [source] is a file on a server, a [span] reads a part of it and goes on
// where it was, by Range and If-Range (RFC 9110 section 14). That it is still the
// same file is held by its validator and its size; a file that changed is an error,
// never a mixture.

// source is a file on a server. Its fields are set once, by [source.open].
type source struct {
	client *http.Client
	url    string
	retry  retry
	log    func(format string, args ...any)
	// authorize, if set, is called with every request and, after a 401, once more
	// with the challenge.
	authorize func(ctx context.Context, req *http.Request, challenge string) error
	// summed says that what comes is held against a sum that was known before: then
	// it may come from anywhere, such as another mirror for every request.
	summed bool

	once      sync.Once
	size      int64  // -1 where the server does not say
	validator string // a strong entity tag, else a date; empty where there is neither
	fetched   atomic.Int64
	fileSize  atomic.Int64 // size, for who counts meanwhile
}

// retry says how long to go on trying.
type retry struct {
	limit time.Duration // without a byte; 0 is not to try again
	stall time.Duration // without a byte on one connection
	pause time.Duration // before the first new attempt; doubles up to maxPause
}

// The defaults of [retry].
const (
	stallAfter = 30 * time.Second
	firstPause = 500 * time.Millisecond
	maxPause   = 15 * time.Second
)

// errStalled is the cause of a request that was given up on.
var errStalled = errors.New("the server stopped sending")

// permanentError is one that trying again does not mend.
type permanentError struct{ error }

func (p permanentError) Unwrap() error { return p.error }

func permanent(format string, args ...any) error {
	return permanentError{fmt.Errorf(format, args...)}
}

// newSource checks an address as far as that goes without asking the server.
func (e *Env) newSource(address string) (*source, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address of the image: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the address %s cannot be fetched from; want one that begins with http:// or https://", u.Redacted())
	}
	policy, err := e.retryPolicy()
	if err != nil {
		return nil, err
	}
	return &source{client: e.http(), url: address, retry: policy, log: e.logf}, nil
}

// retryPolicy reads RETRY_ENABLED and RETRY_DURATION_MINUTES.
func (e *Env) retryPolicy() (retry, error) {
	enabled, err := e.flag("RETRY_ENABLED", true)
	if err != nil {
		return retry{}, err
	}
	minutes, err := e.number("RETRY_DURATION_MINUTES", 10)
	if err != nil {
		return retry{}, err
	}
	policy := retry{limit: time.Duration(minutes) * time.Minute, stall: stallAfter, pause: firstPause}
	if !enabled {
		policy.limit = 0
	}
	return policy, nil
}

// String is the address without a password, for messages.
func (s *source) String() string {
	u, err := url.Parse(s.url)
	if err != nil {
		return "the image"
	}
	u.RawQuery = "" // it may have a signature in it
	return u.Redacted()
}

// span reads the bytes [at, end) of a source; an end below 0 is that of the file.
type span struct {
	*source
	ctx     context.Context
	at, end int64
	last    int64 // of a span that is the last bytes of the file: how many, at most
	skip    int64 // bytes to pass over, from a server that sends all of the file

	body   io.ReadCloser // nil: not connected
	cancel context.CancelCauseFunc
	watch  *time.Timer // runs while a byte is waited for

	attempts int       // since the last byte
	failing  time.Time // since then; zero: it works
}

// read starts to read a part. Nothing is asked for before the first Read.
func (s *source) read(ctx context.Context, at, end int64) *span {
	return &span{source: s, ctx: ctx, at: at, end: end}
}

// tail reads the last n bytes of the file, or all of a smaller one, and says where
// they begin.
func (s *source) tail(ctx context.Context, n int64) (tail []byte, at int64, err error) {
	p := s.read(ctx, 0, -1)
	defer p.Close()
	p.last = n
	tail, err = io.ReadAll(io.LimitReader(p, n+1))
	if int64(len(tail)) > n {
		err = fmt.Errorf("fetch %s: the server sent more than the %d bytes that it was asked for", s, n)
	}
	return tail, p.at - int64(len(tail)), err
}

// readAt fills b from the file.
func (s *source) readAt(ctx context.Context, b []byte, at int64) error {
	p := s.read(ctx, at, at+int64(len(b)))
	defer p.Close()
	_, err := io.ReadFull(p, b)
	return err
}

// Read reads on, on a new connection where the old one broke. Only [io.EOF] says
// that all is there.
func (p *span) Read(b []byte) (int, error) {
	for len(b) > 0 {
		if p.end >= 0 && p.at >= p.end {
			return 0, io.EOF
		}
		n, err := p.attempt(b)
		if n > 0 {
			p.at += int64(n)
			p.fetched.Add(int64(n))
			p.attempts, p.failing = 0, time.Time{}
			return n, nil
		}
		if err == io.EOF {
			if err = p.early(); err == nil {
				return 0, io.EOF
			}
		}
		if err != nil {
			p.Close()
			if err := p.again(err); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// attempt reads from the connection that is open, or opens one.
func (p *span) attempt(b []byte) (int, error) {
	if p.body == nil {
		if err := p.connect(); err != nil {
			return 0, err
		}
	}
	if p.end >= 0 {
		b = b[:min(int64(len(b)), p.end-p.at)]
	}
	p.watch.Reset(p.retry.stall)
	defer p.watch.Stop()
	if p.skip == 0 {
		return p.body.Read(b)
	}
	n, err := p.body.Read(b[:min(int64(len(b)), p.skip)])
	p.skip -= int64(n)
	return 0, err
}

// early says what is missing of a body that has ended.
func (p *span) early() error {
	want := p.end
	if want < 0 {
		want = p.size
	}
	if want < 0 || p.at == want {
		return nil
	}
	return fmt.Errorf("it ended after %d of %d bytes: %w", p.at, want, io.ErrUnexpectedEOF)
}

// seek continues at another place.
func (p *span) seek(at int64) {
	if at != p.at {
		p.Close()
		p.at = at
	}
}

// Close gives up the connection.
func (p *span) Close() error {
	if p.body != nil {
		p.watch.Stop()
		_ = p.body.Close()
		p.cancel(nil)
		p.body, p.skip = nil, 0
	}
	return nil
}

// again waits for the next attempt after an error, or says that there is none.
func (p *span) again(err error) error {
	if cause := context.Cause(p.ctx); cause != nil {
		return cause
	}
	if _, never := errors.AsType[permanentError](err); never || p.retry.limit == 0 {
		return fmt.Errorf("fetch %s: %w", p.source, err)
	}
	if p.at > 0 && p.validator == "" && !p.summed {
		return fmt.Errorf("fetch %s: stopped at byte %d, and cannot go on: the server gives the file neither an ETag nor a Last-Modified and no sum of it is known, so it could be another by now: %w", p.source, p.at, err)
	}
	if p.failing.IsZero() {
		p.failing = time.Now()
	}
	if quiet := time.Since(p.failing); quiet > p.retry.limit {
		return fmt.Errorf("fetch %s: stopped at byte %d, and nothing came for %s: %w", p.source, p.at, quiet.Round(time.Second), err)
	}
	wait := min(p.retry.pause<<min(p.attempts, 10), maxPause)
	wait = wait/2 + rand.N(wait/2+1) // so that a rack does not come back as one
	p.attempts++
	p.log("fetch %s: stopped at byte %d: %v; trying again in %s", p.source, p.at, err, wait.Round(10*time.Millisecond))
	select {
	case <-time.After(wait):
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// connect asks for what is left.
func (p *span) connect() error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	watch := time.AfterFunc(p.retry.stall, func() { cancel(errStalled) })
	resp, err := p.request(ctx)
	if err == nil {
		if err = p.accept(resp); err != nil {
			_ = resp.Body.Close()
		}
	}
	if err != nil {
		watch.Stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return err
	}
	p.body, p.cancel, p.watch = &causedBody{ctx, resp.Body}, cancel, watch
	return nil
}

// causedBody says why it was cancelled, not that it was.
type causedBody struct {
	ctx context.Context
	io.ReadCloser
}

func (b *causedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

// request sends a request for the range, with a second one where the first has to
// be authorized.
func (p *span) request(ctx context.Context) (*http.Response, error) {
	resp, err := p.send(ctx, "")
	if err == nil && resp.StatusCode == http.StatusUnauthorized && p.authorize != nil {
		challenge := strings.Join(resp.Header.Values("WWW-Authenticate"), ", ")
		_ = resp.Body.Close()
		resp, err = p.send(ctx, challenge)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // who calls says the address
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	if unknown, ok := errors.AsType[*net.DNSError](err); untrusted || ok && unknown.IsNotFound {
		err = permanentError{err}
	}
	return resp, err
}

func (p *span) send(ctx context.Context, challenge string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, permanentError{err}
	}
	// What is asked for are the bytes of the file: without this, net/http would ask
	// for gzip and unpack what comes.
	req.Header.Set("Accept-Encoding", "identity")
	if r := p.rangeHeader(); r != "" {
		req.Header.Set("Range", r)
		if p.validator != "" && !p.summed {
			req.Header.Set("If-Range", p.validator)
		}
	}
	if p.authorize != nil {
		if err := p.authorize(ctx, req, challenge); err != nil {
			return nil, err
		}
	}
	return p.client.Do(req)
}

func (p *span) rangeHeader() string {
	switch {
	case p.last > 0:
		return fmt.Sprintf("bytes=-%d", p.last)
	case p.end >= 0:
		return fmt.Sprintf("bytes=%d-%d", p.at, p.end-1)
	case p.at > 0:
		return fmt.Sprintf("bytes=%d-", p.at)
	}
	return ""
}

// accept takes a response for what was asked for, or says why it is not.
func (p *span) accept(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return p.acceptWhole(resp)
	case code == http.StatusPartialContent:
		return p.acceptPart(resp)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return fmt.Errorf("the server answered %s", resp.Status)
	case code == http.StatusRequestedRangeNotSatisfiable:
		return permanent("the server has no bytes from %d on: the file changed, or is shorter than it should be", p.at)
	}
	return permanent("the server answered %s", resp.Status)
}

// acceptWhole takes a whole file: asked for, or sent by a server without ranges.
func (p *span) acceptWhole(resp *http.Response) error {
	if err := p.same(resp, resp.ContentLength); err != nil {
		return err
	}
	switch {
	case p.last > 0 && resp.ContentLength >= 0 && resp.ContentLength <= p.last:
		p.end, p.last = resp.ContentLength, 0
	case p.last > 0 || p.end >= 0:
		return permanent("the server does not serve ranges, which reading a part of a file takes")
	case p.at > 0:
		p.log("fetch %s: the server does not serve ranges; fetching the first %d bytes again", p.source, p.at)
		p.skip = p.at
	}
	return nil
}

// acceptPart takes a range.
func (p *span) acceptPart(resp *http.Response) error {
	first, last, size, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err != nil {
		return permanentError{err}
	}
	if err := p.same(resp, size); err != nil {
		return err
	}
	if p.last > 0 { // where the last bytes begin is the server's to say
		p.at, p.end, p.last = first, last+1, 0
	}
	if first != p.at || p.end >= 0 && last > p.end-1 {
		return permanent("the server was asked for the bytes from %d on and sent %d to %d", p.at, first, last)
	}
	return nil
}

// same learns the size and the validator from the first response, and holds the
// later ones against them.
func (p *span) same(resp *http.Response, size int64) error {
	validator := resp.Header.Get("ETag")
	if validator == "" || strings.HasPrefix(validator, "W/") {
		validator = resp.Header.Get("Last-Modified")
	}
	p.once.Do(func() {
		p.size, p.validator = size, validator
		p.fileSize.Store(size)
	})
	switch {
	case validator != p.validator && !p.summed:
		return permanent("the file changed while it was fetched (it was %s, now it is %s)", p.validator, validator)
	case size != p.size && size >= 0 && p.size >= 0:
		return permanent("the file changed while it was fetched (it had %d bytes, now it has %d)", p.size, size)
	}
	return p.delimited(resp)
}

// delimited refuses a response whose end cannot be told from a broken connection.
func (p *span) delimited(resp *http.Response) error {
	chunked := len(resp.TransferEncoding) > 0 && resp.TransferEncoding[0] == "chunked"
	if resp.ContentLength < 0 && resp.ProtoMajor < 2 && !chunked && !p.summed {
		return permanent("the server does not say how long the file is, so that one that is cut could not be told from a whole one; give its sum, or serve it with a Content-Length")
	}
	return nil
}

// parseContentRange reads "bytes 0-99/200" or "bytes 0-99/*".
func parseContentRange(header string) (first, last, size int64, err error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	from, to, dash := strings.Cut(span, "-")
	if !ok || !dash {
		return 0, 0, 0, fmt.Errorf("the server sent a range with Content-Range %q", header)
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	size, err3 := int64(-1), error(nil)
	if total != "*" {
		size, err3 = strconv.ParseInt(total, 10, 64)
	}
	if errors.Join(err1, err2, err3) != nil || first < 0 || last < first || size >= 0 && last >= size {
		return 0, 0, 0, fmt.Errorf("the server sent a range with Content-Range %q", header)
	}
	return first, last, size, nil
}
