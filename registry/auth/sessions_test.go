package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

func TestSession(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	create(t, h.accounts, registry.Admin, "ana")
	cookie := h.signIn(t, "ana")
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Secure || cookie.Path != "/" {
		t.Errorf("cookie without TLS: %v", cookie)
	}
	if w := h.look(cookie); w.Code != http.StatusOK {
		t.Errorf("signed in: %d", w.Code)
	}
	out := request(http.MethodPost, "/logout")
	out.AddCookie(cookie)
	h.do(out)
	if w := h.look(cookie); w.Code != http.StatusUnauthorized {
		t.Errorf("signed out, with the old cookie: %d", w.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "https://10.0.0.2/login", strings.NewReader("name=ana&password=correct+horse+battery"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS = &tls.ConnectionState{}
	if got := h.do(r).Result().Cookies(); len(got) != 1 || !got[0].Secure || got[0].Name != "__Host-dragonfly" || !got[0].HttpOnly {
		t.Errorf("cookie over TLS: %v", got)
	}
}

// A request that is under way when its session ends, on this server or another, does
// not store it again with its answer.
func TestSessionEndsForGood(t *testing.T) {
	for name, signOut := range map[string]func(here, other *house) *house{
		"on this server":    func(here, _ *house) *house { return here },
		"on another server": func(_, other *house) *house { return other },
	} {
		t.Run(name, func(t *testing.T) {
			store := registrytest.Memory()
			here, other := newHouse(t, store), newHouse(t, store)
			create(t, here.accounts, registry.Admin, "ana")
			cookie := here.signIn(t, "ana")
			now := time.Now()
			for _, h := range []*house{here, other} { // so that each request asks the database, and writes what it renews
				h.sessions.plain.Store.(*sessionCache).now = func() time.Time { now = now.Add(2 * sessionBelieved); return now }
			}
			begun, answer, answered := make(chan bool), make(chan bool), make(chan bool)
			slow := here.sessions.load(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { begun <- true; <-answer }), nil)
			pending := request(http.MethodGet, "/slow")
			pending.AddCookie(cookie)
			go func() { slow.ServeHTTP(httptest.NewRecorder(), pending); close(answered) }()
			<-begun
			out := request(http.MethodPost, "/logout")
			out.AddCookie(cookie)
			signOut(here, other).do(out)
			wantOut := func(when string) {
				t.Helper()
				for name, h := range map[string]*house{"here": here, "there": other, "after a restart": newHouse(t, store)} {
					if w := h.look(cookie); w.Code != http.StatusUnauthorized {
						t.Errorf("%s, %s: %d", when, name, w.Code)
					}
				}
			}
			wantOut("signed out")
			close(answer)
			<-answered
			wantOut("what was under way is answered")
		})
	}
}

// A sign-out that comes while the session is stored for the first time counts.
func TestSessionEndsWhileItIsStored(t *testing.T) {
	store := &storing{MemoryStore: registrytest.Memory()}
	cache := newSessionCache(store)
	cache.put("id", cachedSession{data: []byte("{}"), expires: time.Now().Add(time.Hour)}) // from when the database was away
	store.then = func() {
		if err := cache.DeleteCtx(t.Context(), "id"); err != nil {
			t.Error(err)
		}
	}
	if err := cache.CommitCtx(t.Context(), "id", []byte("{}"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, found, err := cache.FindCtx(t.Context(), "id"); found || err != nil {
		t.Errorf("here it goes on, %v", err)
	}
	if _, _, err := store.Session(t.Context(), "id"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the database has it: %v", err)
	}
}

// storing does something before it stores a session.
type storing struct {
	*registrytest.MemoryStore
	then func()
}

func (s *storing) PutSession(ctx context.Context, id, data string, expires time.Time) error {
	s.then()
	return s.MemoryStore.PutSession(ctx, id, data, expires)
}

// Whoever comes by way of a proxy with TLS gets the cookie of TLS, and nobody else.
func TestSessionBehindTLS(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	create(t, h.accounts, registry.Admin, "ana")
	h.sessions.BehindTLS("lab.example")
	for host, secure := range map[string]bool{"lab.example": true, "LAB.example": true, "lab.example:3000": false, "10.0.0.2:3000": false} {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader("name=ana&password=correct+horse+battery"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Host = host
		got := h.do(r).Result().Cookies()
		if len(got) != 1 || got[0].Secure != secure || strings.HasPrefix(got[0].Name, "__Host-") != secure {
			t.Errorf("%s: %v", host, got)
			continue
		}
		look := request(http.MethodGet, "/view")
		look.Host = host
		if look.AddCookie(got[0]); h.do(look).Code != http.StatusOK {
			t.Errorf("%s: signed in, and not known", host)
		}
	}
}

// A session id that somebody planted in the browser is worth nothing after the
// sign-in, and so is the one from before it.
func TestSessionFixation(t *testing.T) {
	h := newHouse(t, registrytest.Memory())
	create(t, h.accounts, registry.Admin, "ana", "eve")
	planted := &http.Cookie{Name: "dragonfly", Value: "planted"}
	eves := h.signIn(t, "eve")
	for name, before := range map[string]*http.Cookie{"made up": planted, "of another session": eves} {
		after := h.signIn(t, "ana", before)
		if after.Value == before.Value {
			t.Errorf("%s: the id was kept", name)
		}
		if w := h.look(before); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: the planted id is good for %q", name, w.Body)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	store := registrytest.Memory()
	h := newHouse(t, store)
	create(t, h.accounts, registry.Admin, "ana", "bob", "cid")
	cookies := map[string]*http.Cookie{}
	for _, name := range []string{"ana", "bob", "cid"} {
		cookies[name] = h.signIn(t, name)
	}
	if err := h.accounts.ChangeAccount(t.Context(), "ana", "another horse", ""); err != nil {
		t.Fatal(err)
	}
	if err := h.accounts.DeleteAccount(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	create(t, h.accounts, registry.Admin, "bob")
	if err := h.accounts.ChangeAccount(t.Context(), "cid", "", registry.Viewer); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"ana": 401, "bob": 401, "cid": 200} {
		if w := h.look(cookies[name]); w.Code != want {
			t.Errorf("%s: %d, want %d", name, w.Code, want)
		}
	}
	if w := h.look(cookies["cid"]); !strings.HasPrefix(w.Body.String(), "cid viewer") {
		t.Errorf("a new role: %s", w.Body)
	}
	// Another server on the same database, as after a restart.
	if w := newHouse(t, store).look(cookies["cid"]); w.Code != http.StatusOK {
		t.Errorf("after a restart: %d", w.Code)
	}
}

func TestSessionsWhileTheDatabaseIsAway(t *testing.T) {
	store := &flaky{MemoryStore: registrytest.Memory()}
	h := newHouse(t, store)
	create(t, h.accounts, registry.Admin, "ana")
	before, other := h.signIn(t, "ana"), h.signIn(t, "ana")
	store.away(true)
	now := time.Now()
	cache := h.sessions.plain.Store.(*sessionCache)
	later := func() time.Time { now = now.Add(2 * sessionBelieved); return now }
	cache.now, h.accounts.book.now = later, later
	during := h.signIn(t, "ana")
	for name, cookie := range map[string]*http.Cookie{"from before": before, "from now": during} {
		if w := h.look(cookie); w.Code != http.StatusOK {
			t.Errorf("a session %s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := h.look(&http.Cookie{Name: "dragonfly", Value: "unknown"}); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a session that nobody knows here: %d", w.Code)
	}
	out := request(http.MethodPost, "/logout")
	out.AddCookie(other)
	if w := h.do(out); w.Code != http.StatusServiceUnavailable {
		t.Errorf("signing out, which is not remembered elsewhere: %d", w.Code)
	}
	if w := h.look(other); w.Code != http.StatusUnauthorized {
		t.Errorf("signed out here: %d", w.Code)
	}
	store.away(false)
	if w := h.look(during); w.Code != http.StatusOK {
		t.Errorf("the database is back: %d %s", w.Code, w.Body)
	}
	if w := newHouse(t, store).look(during); w.Code != http.StatusOK {
		t.Errorf("the session from then, on another server: %d", w.Code)
	}
}

// written notes the ids of sessions that are written.
type written struct {
	*registrytest.MemoryStore
	ids []string
}

func (s *written) PutSession(ctx context.Context, id, data string, expires time.Time) error {
	s.ids = append(s.ids, id)
	return s.MemoryStore.PutSession(ctx, id, data, expires)
}

func (s *written) RenewSession(ctx context.Context, id string, expires time.Time) error {
	s.ids = append(s.ids, id)
	return s.MemoryStore.RenewSession(ctx, id, expires)
}

func TestSessionsAreWrittenSeldomAndHashed(t *testing.T) {
	store := &written{MemoryStore: registrytest.Memory()}
	h := newHouse(t, store)
	create(t, h.accounts, registry.Admin, "ana")
	cookie := h.signIn(t, "ana")
	for range 50 {
		if w := h.look(cookie); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
	}
	if len(store.ids) != 1 || store.ids[0] == cookie.Value {
		t.Errorf("writes of sessions %q; want one, not under the id %s", store.ids, cookie.Value)
	}
}

func TestSessionCacheIsBounded(t *testing.T) {
	cache := newSessionCache(registrytest.Memory())
	for i := range maxSessions + 10 {
		cache.put(fmt.Sprint(i), cachedSession{expires: time.Now().Add(time.Hour), stored: time.Now()})
	}
	if n := len(cache.byID); n > maxSessions {
		t.Errorf("%d sessions in memory, at most %d", n, maxSessions)
	}
}
