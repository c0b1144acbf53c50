package ui

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// TestMain ends the browser that tests share.
func TestMain(m *testing.M) { os.Exit(uitest.Main(m)) }

func TestBrowserLive(t *testing.T) {
	k := newRack(0)
	server := httptest.NewServer(newUI(t, k))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL+"/"), chromedp.WaitVisible(chromedp.CSS(".welcome")))
	w.Says(".pulse", "Live")
	w.Eval("window.mark = 1") // gone after a reload

	k.put(testMachine(6), registry.MachineDiscovered, "seen for the first time")
	w.Says("#m-000000000006 .state", "discovered")
	w.Wait("!document.querySelector('.welcome')")
	w.Says("#counters .discovered", "1")

	m := testMachine(6)
	m.State, m.Hostname = registry.Ready, "web1"
	w.Eval("window.row = document.querySelector('#m-000000000006'); row.querySelector('.copy').focus()")
	k.put(m, registry.MachineRegistered, "registered: <b>4</b> disks")
	w.Says("#m-000000000006 .state", "ready")
	w.Says("#m-000000000006 .doing", "registered: <b>4</b> disks")
	w.Says("#counters .ready", "1")
	w.Wait("document.querySelector('#m-000000000006') === row && document.activeElement === row.querySelector('.copy')")
	w.Wait("row.getAnimations().length > 0 || row.dataset.turn !== undefined")

	k.put(testMachine(1), registry.MachineRegistered, "registered")
	w.Wait("document.querySelectorAll('tbody tr').length === 2 && document.querySelector('tbody tr').id === 'm-000000000001'")
	k.remove("m-000000000001", "m-000000000006")
	w.Wait("document.querySelectorAll('tbody tr').length === 1")

	w.Wait("window.mark === 1")
	w.Clean(server.URL)
}

func TestBrowserThemeAndCopy(t *testing.T) {
	server := httptest.NewServer(newUI(t, newRack(3)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL + "/machines"))
	w.Says(".pulse", "Live")
	for _, want := range []string{"light", "dark", "system"} {
		w.Do(chromedp.Click(chromedp.CSS(".tool[x-data]")))
		w.Wait(fmt.Sprintf("document.documentElement.dataset.choice === %q", want))
		w.Wait(fmt.Sprintf("document.querySelector('.tool[x-data]').title === 'Theme: %s'", want))
		if want == "dark" {
			w.Do(chromedp.Reload())
			w.Wait("document.documentElement.dataset.bsTheme === 'dark' && getComputedStyle(document.body).color === 'rgb(228, 234, 241)'")
			w.Says(".pulse", "Live")
		}
	}
	w.Eval("window.copied = ''; document.addEventListener('copy', () => copied = getSelection().toString()); " +
		"Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { copied = text }}})")
	w.Do(chromedp.Focus(chromedp.CSS("#m-000000000001 .net .copy")), chromedp.Click(chromedp.CSS("#m-000000000001 .net .copy")))
	w.Wait("copied === '3c:ec:ef:00:00:01'")
	w.Clean(server.URL)
}

// What is typed while an answer is awaited counts: the answer to what stood there before is
// not waited for.
func TestBrowserFilterKeepsUp(t *testing.T) {
	handler := newUI(t, newRack(3))
	held := make(chan bool, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.FormValue("q"); text != "" && text != "no such" && r.URL.Path == "/machines/rows" {
			select {
			case held <- true:
			default:
			}
			<-r.Context().Done()
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL + "/machines"))
	w.Eval("htmx.config.defaultTimeout = 600_000") // so that no answer is given up by itself
	w.Do(chromedp.SendKeys(chromedp.CSS("#q"), "no"))
	<-held
	w.Do(chromedp.SendKeys(chromedp.CSS("#q"), " such"))
	w.Says("#list", "No machine matches")
}

// The server goes away and comes back on the same address: the page says so,
// and then is silent and up to date again.
func TestBrowserLostAndFound(t *testing.T) {
	k := newRack(1)
	server := httptest.NewUnstartedServer(newUI(t, k))
	server.Listener.Close()
	server.Listener = listen(t, "127.0.0.4:0") // of which nobody takes the port meanwhile
	server.Start()
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL + "/machines"))
	w.Says(".pulse", "Live")
	w.Eval("window.mark = 1")
	at := server.Listener.Addr().String()
	server.Listener.Close() // first: the page is quick to come back
	server.CloseClientConnections()
	server.Close()
	w.Says(".note.warn", "Live updates lost since")
	w.Wait("document.querySelector('.note.warn').checkVisibility()")

	k.put(testMachine(3), registry.MachineRegistered, "registered meanwhile")
	again := httptest.NewUnstartedServer(newUI(t, k))
	again.Listener.Close()
	again.Listener = listen(t, at)
	again.Start()
	t.Cleanup(again.Close)
	t.Cleanup(again.CloseClientConnections)
	w.Wait("!document.querySelector('.note.warn').checkVisibility()")
	w.Says("#m-000000000003 .doing", "registered meanwhile")
	w.Wait("window.mark === 1")
}

func TestBrowserSignIn(t *testing.T) {
	d := &desk{err: errors.New("no")}
	u := newUI(t, newRack(1), func(c *Config) { c.Sessions = d })
	gate := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/machines" && d.User(r.Context()) == "" {
			http.Redirect(rw, r, "/login?next=/machines", http.StatusSeeOther)
			return
		}
		u.ServeHTTP(rw, r)
	})
	server := httptest.NewServer(gate)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	submit := []chromedp.Action[chromedp.Void]{
		chromedp.SetValue(chromedp.CSS("#name"), "ana"), chromedp.SetValue(chromedp.CSS("#password"), "secret"),
		chromedp.Click(chromedp.CSS("button.btn-primary")),
	}
	w.Do(chromedp.Navigate(server.URL+"/machines"), chromedp.WaitVisible(chromedp.CSS("#password")))
	w.Do(submit...)
	w.Do(chromedp.WaitVisible(chromedp.CSS("[role=alert]")))
	w.Says("[role=alert]", "The name or the password is wrong.")
	d.mu.Lock()
	d.err = nil
	d.mu.Unlock()
	w.Do(submit...)
	w.Do(chromedp.WaitVisible(chromedp.CSS(".who")))
	w.Says(".who", "ana")
	w.Says(".pulse", "Live")
	w.Do(chromedp.Click(chromedp.CSS(".account button")), chromedp.WaitVisible(chromedp.CSS("#password")))
}

// listen binds an address, such as that which a server has just left.
func listen(t *testing.T, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
