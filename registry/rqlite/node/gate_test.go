package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// busy is a gate whose handler answers when release is closed.
func busy() (g *gate, release chan struct{}) {
	release = make(chan struct{})
	return newGate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body) // into memory
	})), release
}

// pass sends a request through the gate.
func pass(ctx context.Context, g *gate) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://node/db/query", strings.NewReader("body"))
	if err != nil {
		return nil, err
	}
	return g.RoundTrip(req)
}

func TestGatePassesAnswers(t *testing.T) {
	g, release := busy()
	close(release)
	resp, err := pass(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "body" || resp.StatusCode != http.StatusTeapot || resp.ContentLength != 4 {
		t.Errorf("%+v, %q, %v", resp, body, err)
	}
}

func TestGateWaitsForThoseInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, release := busy()
		answered := make(chan error)
		go func() {
			_, err := pass(t.Context(), g)
			answered <- err
		}()
		synctest.Wait() // until the request is inside
		if err := g.shut(time.Second); err == nil {
			t.Error("shut while a request was inside")
		}
		if _, err := pass(t.Context(), g); !errors.Is(err, ErrClosed) {
			t.Errorf("a request after shut: %v", err)
		}
		close(release)
		if err := <-answered; err != nil {
			t.Errorf("the request inside: %v", err)
		}
		if err := g.shut(time.Second); err != nil {
			t.Errorf("shut again: %v", err)
		}
	})
}

func TestGateLetsGoWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, release := busy()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := pass(ctx, g); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request whose context ended: %v", err)
		}
		close(release) // the handler is still inside
		if err := g.shut(time.Second); err != nil {
			t.Errorf("shut: %v", err)
		}
	})
}

func TestGateIsShutToAContextThatHasEnded(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	g := newGate(nil)
	_, err := inside(ended, g, func() bool { t.Error("what was asked for began"); return true })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it is let in: %v", err)
	}
	if err := g.shut(time.Second); err != nil { // which waits for it
		t.Error(err)
	}
}

func TestGateSurvivesAPanic(t *testing.T) {
	g := newGate(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	resp, err := pass(t.Context(), g)
	if err != nil || resp.StatusCode != http.StatusInternalServerError {
		t.Fatalf("%v, %v", resp, err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "boom") {
		t.Errorf("%q, %v", body, err)
	}
}
