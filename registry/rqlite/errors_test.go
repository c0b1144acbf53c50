package rqlite_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
)

// answer is an HTTP client that always gets the same answer.
func answer(status int, body string) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		rec.WriteHeader(status)
		_, _ = rec.WriteString(body) // into memory
		return rec.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestErrorsAreSorted(t *testing.T) {
	for _, c := range []struct {
		what        string
		client      *http.Client
		unavailable bool
		want        string
	}{
		{"no leader", answer(503, "leader not found"), true, "leader not found"},
		{"leadership lost", answer(200, `{"results":[],"error":"leadership lost while committing log"}`), true, "leadership lost"},
		{"a proxy's page", answer(200, `<html>`), true, "invalid character"},
		{"an empty answer", answer(200, `{}`), true, "results key is missing"},
		{"wrong password", answer(401, ""), false, "check the user and the password"},
		{"not rqlite", answer(404, "no such page\n"), false, "404 Not Found: no such page"},
		{"broken SQL", answer(200, `{"results":[{"error":"near \"x\": syntax error"}]}`), false, "create schema table: near"},
		{"too few results", answer(200, `{"results":[]}`), false, "0 of 1 statements"},
		{"no client", nil, false, "no HTTP client"},
	} {
		_, err := rqlite.Open(t.Context(), rqlite.Config{HTTP: c.client})
		if err == nil {
			t.Errorf("%s: opened", c.what)
			continue
		}
		if errors.Is(err, registry.ErrUnavailable) != c.unavailable || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestClosedNodeIsUnavailable(t *testing.T) {
	n := startNode(t, t.TempDir())
	s := embedded(t, n)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	_, load := s.Machines(t.Context(), registry.Query{})
	for call, err := range map[string]error{
		"Ping": s.Ping(t.Context()), "Machines": load, "Commit": s.Commit(t.Context(), create(1)),
	} {
		if !errors.Is(err, registry.ErrUnavailable) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestEndedContextIsNamed(t *testing.T) {
	s := embedded(t, startNode(t, t.TempDir()))
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if err := s.Commit(ctx, create(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commit: %v", err)
	}
}
