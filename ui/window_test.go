package ui

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// window is a real browser on one page. It keeps what went wrong in it.
type window struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	complain []string // console messages and refused requests
	hosts    map[string]bool
}

// newWindow starts Debian's chromium with a fresh profile.
func newWindow(t *testing.T) *window {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("these tests need a browser: apt-get install chromium (%v)", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	w := &window{t: t, ctx: ctx, hosts: map[string]bool{}}
	w.watch()
	return w
}

// watch notes what the page logs and whom it asks, until the test ends.
func (w *window) watch() {
	console := chromedp.Console(w.ctx)
	requests := chromedp.Events(w.ctx, network.RequestWillBeSent)
	if _, err := chromedp.Call(w.ctx, network.Enable, network.EnableParams{}); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for message, err := range console {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.complain = append(w.complain, string(message.Type)+": "+message.Text)
			w.mu.Unlock()
		}
	}()
	go func() {
		for event, err := range requests {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.hosts[hostOf(event.Request.URL)] = true
			w.mu.Unlock()
		}
	}()
}

// hostOf is where a request goes; data: and about: go nowhere.
func hostOf(address string) string {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" {
		scheme, _, _ := strings.Cut(address, ":")
		return scheme
	}
	return at.Host
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

// wait returns when the expression is true in the page.
func (w *window) wait(expression string) {
	w.t.Helper()
	if _, err := chromedp.Run(w.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(20*time.Second))); err != nil {
		html, _ := chromedp.Run(w.ctx, chromedp.OuterHTML(chromedp.CSS("main")))
		w.t.Fatalf("%s: %v\n%.3000s\n%q", expression, err, html, w.complain)
	}
}

// says waits until an element holds the text.
func (w *window) says(selector, text string) {
	w.t.Helper()
	w.wait(fmt.Sprintf("!!document.querySelector(%q)?.textContent.includes(%q)", selector, text))
}

// eval runs a script in the page, as a developer's console would.
func eval(w *window, script string) {
	w.t.Helper()
	if _, err := chromedp.Run(w.ctx, chromedp.Evaluate[any]("("+"() => {"+script+"}"+")()")); err != nil {
		w.t.Fatalf("%s: %v", script, err)
	}
}

// clean fails the test when the page logged anything (a refusal of the content
// security policy is logged) or asked another host.
func (w *window) clean(server *httptest.Server) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.complain {
		w.t.Errorf("the page logs %s", text)
	}
	own := strings.TrimPrefix(server.URL, "http://")
	if !w.hosts[own] {
		w.t.Errorf("no request was seen, so nothing is known of the hosts: %v", w.hosts)
	}
	for host := range w.hosts {
		if host != own && host != "data" && host != "about" {
			w.t.Errorf("the page asks %s", host)
		}
	}
}

// listen binds the address that a server has just left.
func listen(t *testing.T, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
