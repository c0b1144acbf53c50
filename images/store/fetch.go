package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// patience is how long a server that does not answer well is asked again.
type patience struct {
	tries int                         // in a row of which none brings a byte
	wait  func(try int) time.Duration // before the next
	stall time.Duration               // without a byte, until a connection is given up
	sync  int64                       // bytes that may be fetched again after a loss of power
}

// patient waits for some 4 minutes: a mirror that restarts is back by then.
var patient = patience{tries: 10, stall: time.Minute, sync: 64 << 20,
	wait: func(try int) time.Duration { return min(500*time.Millisecond<<try, time.Minute) }}

// newClient is a client for files, over a copy of a transport. Go's own would unpack
// what a server packs on the way, and with it lose count.
func newClient(over *http.Transport) *http.Client {
	if over == nil {
		over = http.DefaultTransport.(*http.Transport)
	}
	transport := over.Clone()
	transport.DisableCompression = true
	transport.ResponseHeaderTimeout = time.Minute
	return &http.Client{Transport: transport}
}

// finalError is of an answer that asking again does not change.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// fetched is what has to be known to go on with a fetch.
type fetched struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Total        int64  `json:"total,omitempty"`  // bytes; 0: not known
	Synced       int64  `json:"synced,omitempty"` // bytes that are on the disk for sure
}

// validator tells one version of a file from another; empty: it cannot be told. A
// weak ETag is the same for other bytes (RFC 9110 section 13.1.5).
func (f fetched) validator() string {
	if f.ETag != "" && !strings.HasPrefix(f.ETag, "W/") {
		return f.ETag
	}
	return f.LastModified
}

// fetch brings a file from a URL to the disk. What is there is kept when it fails,
// and another fetch goes on from there.
type fetch struct {
	store    *Store
	url      string
	dir      string // has the file, and what is known of it
	summed   bool   // a sum of the file is compared afterwards
	progress func(done, total int64)
	rest     rest

	file    *os.File
	have    int64
	at      fetched
	resumed bool // not all of it came at once
}

// The names in the directory of a job.
const (
	fileName    = "file"
	fetchedName = "fetched.json"
)

// run fetches until the file is whole, ctx ends, or there is no point in trying.
func (f *fetch) run(ctx context.Context) (err error) {
	if err := f.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if f.have > 0 {
		f.progress(f.have, f.at.Total)
	}
	return f.store.retry(ctx, f.rest, func() (bool, error) {
		before := f.have
		err := f.attempt(ctx)
		f.resumed = f.resumed || (err != nil && f.have > 0)
		return f.have > before, err
	})
}

// rest waits before the next try, and is told why there has to be one. It errs when ctx
// ends.
type rest func(ctx context.Context, why error, long time.Duration) error

// retry calls attempt until it succeeds. An attempt that got on starts the count of
// tries anew.
func (s *Store) retry(ctx context.Context, rest rest, attempt func() (gotOn bool, err error)) error {
	for try := 1; ; try++ {
		gotOn, err := attempt()
		if _, final := errors.AsType[finalError](err); err == nil || final || errors.Is(err, registry.ErrForbidden) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if gotOn {
			try = 0
		}
		if try >= s.patience.tries {
			return fmt.Errorf("%w; tried %d times", err, try)
		}
		if err := rest(ctx, err, s.patience.wait(try)); err != nil {
			return err
		}
	}
}

// open opens the file where the last fetch left it.
func (f *fetch) open() (err error) {
	if err := readJSON(filepath.Join(f.dir, fetchedName), &f.at); err != nil {
		f.at = fetched{}
	}
	if f.file, err = os.OpenFile(filepath.Join(f.dir, fileName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	info, err := f.file.Stat()
	if err != nil {
		return errors.Join(err, f.file.Close())
	}
	// What came after the last sync may be lost, in the middle too, where the power
	// went.
	f.resumed = info.Size() > 0
	return f.cut(min(info.Size(), f.at.Synced))
}

// cut leaves the first n bytes.
func (f *fetch) cut(n int64) error {
	f.have = n
	if err := f.file.Truncate(n); err != nil {
		return err
	}
	_, err := f.file.Seek(n, io.SeekStart)
	return err
}

// note writes down how far the file is.
func (f *fetch) note() error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.at.Synced = f.have
	return writeJSON(filepath.Join(f.dir, fetchedName), f.at)
}

func (f *fetch) close() error { return errors.Join(f.note(), f.file.Close()) }

// whole reports whether there is nothing left to fetch.
func (f *fetch) whole() bool { return f.at.Total > 0 && f.have == f.at.Total }

// attempt asks for what is missing, and reads as much as comes.
func (f *fetch) attempt(ctx context.Context) error {
	if f.whole() {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := f.ask(ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := f.accept(resp); err != nil || f.whole() {
		return err
	}
	if err := f.store.room(max(0, f.at.Total-f.have)); err != nil {
		return finalError{err}
	}
	if err := f.copy(resp.Body, cancel); err != nil {
		return fmt.Errorf("GET %s: at byte %d: %w", f.url, f.have, cmpErr(context.Cause(ctx), err))
	}
	switch {
	case f.at.Total > 0 && f.have < f.at.Total:
		return fmt.Errorf("GET %s: %w after %d of %d bytes", f.url, io.ErrUnexpectedEOF, f.have, f.at.Total)
	case f.at.Total > 0 && f.have > f.at.Total:
		return errors.Join(fmt.Errorf("GET %s: more than the %d bytes that there should be", f.url, f.at.Total), f.cut(0))
	}
	f.at.Total = f.have
	return nil
}

// cmpErr is the first error that is one.
func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ask sends the request. Where bytes are here already it asks for the rest, of the
// same version; without a way to name the version only if a sum tells in the end.
func (f *fetch) ask(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, finalError{err}
	}
	req.Header.Set("User-Agent", "dragonfly")
	if f.have > 0 && f.at.validator() == "" && !f.summed {
		if err := f.cut(0); err != nil {
			return nil, finalError{err}
		}
	}
	if f.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.have))
		if v := f.at.validator(); v != "" {
			req.Header.Set("If-Range", v)
		}
	}
	return f.store.clientFor(f.summed).Do(req)
}

// clientFor follows redirects, but not from https to http where nothing but the
// connection vouches for what comes.
func (s *Store) clientFor(vouched bool) *http.Client {
	c := *s.client
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch to := req.URL.Scheme; {
		case len(via) >= 10:
			return finalError{errors.New("more than 10 redirects")}
		case to != "https" && to != "http":
			return finalError{fmt.Errorf("it redirects to %s, which is not fetched from", req.URL)}
		case !vouched && via[0].URL.Scheme == "https" && to != "https":
			return finalError{fmt.Errorf("it redirects from https to %s, and there is no sum to check the file against, nor a signature of the sums", req.URL)}
		}
		return nil
	}
	return &c
}

// accept looks at the head of an answer, and cuts the file to where the body
// begins.
func (f *fetch) accept(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		f.at = fetched{ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"), Total: max(0, resp.ContentLength)}
		return errors.Join(f.cut(0), f.note())
	case http.StatusPartialContent:
		start, total, ok := parseContentRange(resp.Header.Get("Content-Range"))
		if !ok || start != f.have || (total > 0 && f.at.Total > 0 && total != f.at.Total) {
			return errors.Join(fmt.Errorf("GET %s: the answer begins elsewhere than was asked for", f.url), f.cut(0))
		}
		f.at.Total = max(f.at.Total, total)
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		// All is here, if the server says how much all is; else from the start.
		if total, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes */"), 10, 64); err == nil && total == f.have && total > 0 {
			f.at.Total = total
			return nil
		}
		return errors.Join(fmt.Errorf("GET %s: %s", f.url, resp.Status), f.cut(0))
	}
	return statusError(f.url, resp)
}

// statusError is the error of an answer without the file. Some are worth another
// try.
func statusError(url string, resp *http.Response) error {
	err := fmt.Errorf("GET %s: %s", url, resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return err
	}
	return finalError{err}
}

// parseContentRange reads "bytes 5-9/10"; a total that is not known is 0.
func parseContentRange(text string) (start, total int64, ok bool) {
	rest, found := strings.CutPrefix(text, "bytes ")
	span, of, slash := strings.Cut(rest, "/")
	first, _, dash := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if !found || !slash || !dash || err != nil {
		return 0, 0, false
	}
	if of == "*" {
		return start, 0, true
	}
	total, err = strconv.ParseInt(of, 10, 64)
	return start, total, err == nil && total > start
}

// copy writes the body to the end of the file. A connection that brings nothing for
// a while is cut.
func (f *fetch) copy(body io.Reader, cancel context.CancelCauseFunc) error {
	stall := f.store.patience.stall
	watchdog := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing came for %v", stall)) })
	defer watchdog.Stop()
	to := &careful{store: f.store, file: f.file}
	buf := make([]byte, 1<<20)
	for {
		n, err := body.Read(buf)
		watchdog.Reset(stall)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return finalError{errors.Join(err, f.cut(f.have))}
			}
			f.have += int64(n)
			f.progress(f.have, f.at.Total)
		}
		if f.have-f.at.Synced >= f.store.patience.sync {
			if err := f.note(); err != nil {
				return finalError{err}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
