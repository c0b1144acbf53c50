package rqlite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// report keeps why a request failed. The client library turns the error of the
// transport into text, and loses its type with it.
type report struct {
	err     error
	refused bool // an answer that asking again does not change, such as 401, or a certificate
}

type reportKey struct{}

// withReport returns a context whose requests are reported on.
func withReport(ctx context.Context) (context.Context, *report) {
	rep := new(report)
	return context.WithValue(ctx, reportKey{}, rep), rep
}

// reporter fills in the report that a request carries.
type reporter struct{ base http.RoundTripper }

// RoundTrip passes the request on.
func (r reporter) RoundTrip(req *http.Request) (*http.Response, error) {
	base := r.base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(req)
	rep, ok := req.Context().Value(reportKey{}).(*report)
	switch {
	case !ok:
	case err != nil:
		*rep = report{err: err, refused: distrusted(err)}
	case resp.StatusCode != http.StatusOK:
		*rep = describe(resp)
	default:
		*rep = report{}
	}
	return resp, err
}

// describe reads a refusal, leaving it to be read again.
func describe(resp *http.Response) report {
	const enough = 4 << 10
	body, _ := io.ReadAll(io.LimitReader(resp.Body, enough)) // what can be read of it
	resp.Body = &replay{bytes.NewReader(body), resp.Body}
	why := fmt.Errorf("rqlite answered %s: %s", resp.Status, bytes.TrimSpace(body))
	if resp.StatusCode == http.StatusUnauthorized {
		why = fmt.Errorf("rqlite answered %s: check the user and the password", resp.Status)
	}
	return report{err: why, refused: resp.StatusCode >= 400 && resp.StatusCode < 500}
}

// replay reads what was kept and closes the original.
type replay struct {
	io.Reader
	io.Closer
}
