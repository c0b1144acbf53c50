package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// TestStalledStream opens a stream, takes nothing of it, and looks at how much the
// kernel took of what was written meanwhile: as much as its small buffer and ours.
func TestStalledStream(t *testing.T) {
	took := func(path string) (bytes int) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		blocked := make(chan int, 1)
		server := &http.Server{ConnContext: withConnection, Handler: slim(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			out := http.NewResponseController(w)
			for n := 0; ; n += 1000 {
				if err := errors.Join(out.SetWriteDeadline(time.Now().Add(2*time.Second)), write(w, 1000), out.Flush()); err != nil {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(err)
					}
					blocked <- n
					return
				}
			}
		}))}
		go server.Serve(l) //nolint:errcheck // it is closed
		defer server.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		return <-blocked
	}
	slim, usual := took("/api/v1/events"), took("/api/v1/machines")
	if slim > 64<<10 {
		t.Errorf("a stalled stream holds %d bytes, want at most 64 KiB", slim)
	}
	if usual < 4*slim {
		t.Errorf("an answer holds %d bytes and a stream %d: the test proves nothing", usual, slim)
	}
}

func write(w http.ResponseWriter, n int) error {
	_, err := w.Write(make([]byte, n))
	return err
}

// TestStreamsAreRoutes holds the names of the streams to those of the routes.
func TestStreamsAreRoutes(t *testing.T) {
	all := policy()
	for path := range streams {
		if all["GET "+path] == "" {
			t.Errorf("%s is no route", path)
		}
	}
}
