package rqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake answers for the nodes by their names.
type fake struct {
	asked []string
	give  func(node string) (status int, err error)
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != "body" {
		return nil, errors.New("the body got lost")
	}
	node := r.URL.Hostname()
	f.asked = append(f.asked, node)
	status, err := f.give(node)
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	rec.WriteHeader(status)
	return rec.Result(), nil
}

// send asks the cluster once.
func send(t *testing.T, ctx context.Context, c *cluster) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://a/db/execute", bytes.NewReader([]byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	return c.RoundTrip(req)
}

func TestCluster(t *testing.T) {
	down := errors.New("connection refused")
	for _, c := range []struct {
		what   string
		give   func(f *fake) func(string) (int, error)
		asked  string // the first nodes that were asked
		status int
		err    string
	}{
		{"the first answers", func(*fake) func(string) (int, error) {
			return func(string) (int, error) { return 200, nil }
		}, "a", 200, ""},
		{"the first is down", func(*fake) func(string) (int, error) {
			return func(n string) (int, error) {
				if n == "a" {
					return 0, down
				}
				return 200, nil
			}
		}, "a b", 200, ""},
		{"no leader for a while", func(f *fake) func(string) (int, error) {
			return func(string) (int, error) {
				if len(f.asked) < 8 {
					return 503, nil
				}
				return 200, nil
			}
		}, "a b c a b c a b", 200, ""},
		{"a refusal is final", func(*fake) func(string) (int, error) {
			return func(string) (int, error) { return 401, nil }
		}, "a", 401, ""},
		{"never a leader", func(*fake) func(string) (int, error) {
			return func(string) (int, error) { return 503, nil }
		}, "a b c a b c", 503, ""},
		{"all are down", func(*fake) func(string) (int, error) {
			return func(string) (int, error) { return 0, down }
		}, "a b c a b c", 0, "cannot reach rqlite at a:4001, b:4001, c:4001: connection refused"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes, err := parseRemote("u:p@a,b,c")
				if err != nil {
					t.Fatal(err)
				}
				f := &fake{}
				f.give = c.give(f)
				began := time.Now()
				resp, err := send(t, t.Context(), &cluster{nodes: nodes, base: f, patience: patience})
				if took := time.Since(began); took > patience {
					t.Errorf("took %s", took)
				}
				if asked := strings.Join(f.asked, " "); !strings.HasPrefix(asked, c.asked) {
					t.Errorf("asked %s, want %s", asked, c.asked)
				}
				if c.err != "" {
					if err == nil || err.Error() != c.err {
						t.Errorf("error %v, want %s", err, c.err)
					}
				} else if err != nil || resp.StatusCode != c.status {
					t.Errorf("%v, %v; want %d", resp, err, c.status)
				}
			})
		})
	}
}

func TestClusterStaysWithTheNodeThatAnswers(t *testing.T) {
	nodes, err := parseRemote("a,b")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	f.give = func(n string) (int, error) {
		if n == "a" {
			return 0, errors.New("down")
		}
		return 200, nil
	}
	c := &cluster{nodes: nodes, base: f, patience: patience}
	for range 3 {
		if _, err := send(t, t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if asked := strings.Join(f.asked, " "); asked != "a b b b" {
		t.Errorf("asked %s", asked)
	}
}

func TestClusterEndsWithTheContext(t *testing.T) {
	nodes, err := parseRemote("a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{give: func(string) (int, error) { cancel(); return 0, ctx.Err() }}
	if _, err := send(t, ctx, &cluster{nodes: nodes, base: f, patience: patience}); !errors.Is(err, context.Canceled) || len(f.asked) != 1 {
		t.Errorf("asked %d times, %v", len(f.asked), err)
	}
}

func TestAnErrorInPlaceOfAllResultsIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []string{`{"results":[],"error":"leadership lost while committing log"}`, `{"results":[],"error":"stale read"}`, `{"results":[{"error":"UNIQUE constraint failed"}]}`}
		asked := 0
		base := roundTripper(func(*http.Request) (*http.Response, error) {
			rec := httptest.NewRecorder()
			_, _ = rec.WriteString(answers[asked]) // into memory
			asked++
			return rec.Result(), nil
		})
		nodes, err := parseRemote("a")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := send(t, t.Context(), &cluster{nodes: nodes, base: base, patience: patience})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != answers[2] || asked != 3 {
			t.Errorf("asked %d times: %q, %v", asked, body, err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestKnownOutage: once patience was in vain, nobody waits it out again until a
// node has answered.
func TestKnownOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, err := parseRemote("a,b")
		if err != nil {
			t.Fatal(err)
		}
		f := &fake{give: func(string) (int, error) { return 503, nil }}
		c := newCluster(nodes, nil)
		c.base = f
		for i, want := range []struct {
			status      int
			least, most time.Duration
			times       int // requests to the nodes; 0: not counted
		}{
			{503, patience - time.Second, patience, 0},
			{503, 0, 0, 2},
			{200, 0, 0, 1},
			{503, patience - time.Second, patience, 0},
		} {
			f.asked = nil
			f.give = func(string) (int, error) { return want.status, nil }
			begin := time.Now()
			resp, err := send(t, t.Context(), c)
			if err != nil || resp.StatusCode != want.status {
				t.Fatalf("request %d: %v, %v", i, resp, err)
			}
			if took := time.Since(begin); took < want.least || took > want.most {
				t.Errorf("request %d took %v, want %v to %v", i, took, want.least, want.most)
			}
			if want.times > 0 && len(f.asked) != want.times {
				t.Errorf("request %d asked %v, want %d nodes", i, f.asked, want.times)
			}
		}
	})
}
