package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/auth"
	"dragonfly/registry/registrytest"
)

// reply is all of an answer that counts.
type reply struct {
	status   int
	etag     string
	replayed bool
	body     string
}

// ask sends a POST with an idempotency key.
func (s *server) ask(t *testing.T, as, key, path, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("As", as+" admin")
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header.Get("ETag"), resp.Header.Get("Idempotent-Replayed") == "true", string(text)}
}

const reboot = `{"instruction":"reboot"}`

func TestIdempotencyKey(t *testing.T) {
	s := serve(t)
	all := s.machines(t, 2)
	path := "/api/v1/machines/" + all[0].ID + "/instruction"
	first := s.ask(t, "ana", "key-1", path, reboot)
	if first.status != http.StatusOK || first.etag != `"2"` || first.replayed {
		t.Fatalf("first: %+v", first)
	}
	if _, err := s.registry.Edit(t.Context(), all[0].ID, registry.AnyVersion, registry.Patch{Owner: ptr("bob")}); err != nil {
		t.Fatal(err)
	}
	before := s.events(t)
	want := first
	want.replayed = true
	for _, key := range []string{"key-1", `"key-1"`} {
		if got := s.ask(t, "ana", key, path, reboot); got != want {
			t.Errorf("again with %s: %+v, want %+v", key, got, want)
		}
	}
	for name, got := range map[string]reply{
		"another body":    s.ask(t, "ana", "key-1", path, `{"instruction":"wait"}`),
		"another machine": s.ask(t, "ana", "key-1", "/api/v1/machines/"+all[1].ID+"/instruction", reboot),
		"another query":   s.ask(t, "ana", "key-1", path+"?x=1", reboot),
	} {
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "was used for another request") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if s.events(t) != before {
		t.Error("a repetition changed something")
	}
	if got := s.ask(t, "bob", "key-1", path, reboot); got.status != http.StatusOK || got.replayed {
		t.Errorf("of another caller: %+v", got)
	}
	if got := s.ask(t, "ana", "key-1", "/api/v1/machines/"+all[0].ID+"/retire", ""); got.status != http.StatusOK || got.replayed {
		t.Errorf("of another route: %+v", got)
	}
}

func TestIdempotencyKeyIsChecked(t *testing.T) {
	s := serve(t)
	path := "/api/v1/machines/" + s.machines(t, 1)[0].ID + "/instruction"
	before := s.events(t)
	for _, key := range []string{strings.Repeat("k", 256), "ключ", `""`, "a\tb"} {
		if got := s.ask(t, "ana", key, path, reboot); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `"in":"header","pointer":"/Idempotency-Key"`) {
			t.Errorf("%.20q: %+v", key, got)
		}
	}
	if got := s.ask(t, "ana", "large", path, strings.Repeat(" ", 11<<20)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("11 MiB: %d", got.status)
	}
	if s.events(t) != before {
		t.Error("something was changed")
	}
}

// What is refused is refused again; what was nobody's fault is tried again.
func TestIdempotencyKeyOfRefusals(t *testing.T) {
	store := &slow{MemoryStore: registrytest.Memory()}
	store.left.Store(1 << 30)
	s := serveOver(t, store)
	one := s.machines(t, 1)[0]
	path := "/api/v1/machines/" + one.ID + "/retire"
	if _, err := s.registry.Lock(t.Context(), one.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := s.ask(t, "ana", "one", path, ""); got.status != http.StatusLocked {
		t.Fatalf("locked: %+v", got)
	}
	if _, err := s.registry.Unlock(t.Context(), one.ID, true); err != nil {
		t.Fatal(err)
	}
	if got := s.ask(t, "ana", "one", path, ""); got.status != http.StatusLocked || !got.replayed {
		t.Errorf("unlocked, with the same key: %+v", got)
	}
	store.left.Store(0)
	if got := s.ask(t, "ana", "two", path, ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("away: %+v", got)
	}
	store.left.Store(1 << 30)
	if got := s.ask(t, "ana", "two", path, ""); got.status != http.StatusOK || got.replayed {
		t.Errorf("back, with the same key: %+v", got)
	}
}

// Of requests with one key at the same time one is carried out.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	store := &slow{MemoryStore: registrytest.Memory()}
	store.left.Store(1 << 30)
	s := serveOver(t, store)
	path := "/api/v1/machines/" + s.machines(t, 1)[0].ID + "/instruction"
	before := s.events(t)
	another, answered := context.WithCancel(t.Context())
	defer answered()
	store.wait = func(asked context.Context) {
		select {
		case <-another.Done():
		case <-asked.Done():
		}
	}
	var group sync.WaitGroup
	var done, busy atomic.Int64
	for range 16 {
		group.Go(func() {
			got := s.ask(t, "ana", "same", path, reboot)
			answered()
			switch {
			case got.status == http.StatusOK && !got.replayed:
				done.Add(1)
			case got.status == http.StatusConflict && strings.Contains(got.body, "is being carried out"):
				busy.Add(1)
			case !got.replayed:
				t.Errorf("%+v", got)
			}
		})
	}
	group.Wait()
	if done.Load() != 1 || busy.Load() == 0 || s.events(t) != before+1 {
		t.Errorf("%d were carried out, %d refused meanwhile, %d events", done.Load(), busy.Load(), s.events(t)-before)
	}
}

// An API token is told again to whoever has the key, and to nobody who reads the
// database.
func TestIdempotencyKeyOfATokenIsSealed(t *testing.T) {
	store := &forgetful{MemoryStore: registrytest.Memory()}
	s := serveOver(t, store)
	if err := s.accounts.CreateAccount(t.Context(), "ana", "correct horse battery", registry.Admin); err != nil {
		t.Fatal(err)
	}
	body := `{"name":"ci","role":"viewer"}`
	first := s.ask(t, "ana", "key", "/api/v1/tokens", body)
	if first.status != http.StatusCreated || !strings.Contains(first.body, `"token":"df_`) {
		t.Fatalf("%+v", first)
	}
	if again := s.ask(t, "ana", "key", "/api/v1/tokens", body); again.body != first.body || !again.replayed {
		t.Errorf("again: %+v", again)
	}
	if !auth.IsSealed(store.answer) {
		t.Errorf("stored: %.80s", store.answer)
	}
	store.forget = true
	if got := s.ask(t, "ana", "lost", "/api/v1/tokens", `{"name":"other","role":"viewer"}`); got.status != http.StatusCreated {
		t.Fatalf("%+v", got)
	}
	if got := s.ask(t, "ana", "lost", "/api/v1/tokens", `{"name":"other","role":"viewer"}`); got.status != http.StatusConflict || !strings.Contains(got.body, "revoke it") {
		t.Errorf("whose answer was lost: %+v", got)
	}
}

// forgetful is a store that loses answers, as a server does that dies before it has
// written them down, and whose claims end at once.
type forgetful struct {
	*registrytest.MemoryStore
	forget bool
	answer string // the last one that was kept
}

func (f *forgetful) Claim(ctx context.Context, c registry.Claim) (registry.Claimed, error) {
	c.Until = c.At.Add(-time.Millisecond)
	return f.MemoryStore.Claim(ctx, c)
}

func (f *forgetful) Answer(ctx context.Context, id, owner, answer string) error {
	if f.forget {
		return errors.New("the server died")
	}
	f.answer = answer
	return f.MemoryStore.Answer(ctx, id, owner, answer)
}

// A server that dies after it changed something and before it wrote down the answer:
// the next one does not change it again.
func TestIdempotencyKeyAfterACrash(t *testing.T) {
	s := serveOver(t, &forgetful{MemoryStore: registrytest.Memory(), forget: true})
	all := s.machines(t, 3)
	for path, body := range map[string]string{
		"/" + all[0].ID + "/instruction": reboot,
		"/" + all[1].ID + "/retire":      "",
		"/bulk":                          fmt.Sprintf(`{"action":"lock","machines":[%q,%q]}`, all[0].ID, all[2].Name),
	} {
		first := s.ask(t, "ana", "key", "/api/v1/machines"+path, body)
		before := s.events(t)
		time.Sleep(2 * time.Millisecond)
		second := s.ask(t, "ana", "key", "/api/v1/machines"+path, body)
		if first.status != http.StatusOK || second != first || s.events(t) != before {
			t.Errorf("%s: %+v, then %+v", path, first, second)
		}
	}
	gone := fmt.Sprintf(`{"action":"delete","machines":[%q]}`, all[1].ID)
	for range 2 {
		if got := s.ask(t, "ana", "gone", "/api/v1/machines/bulk", gone); got.status != http.StatusOK || !strings.Contains(got.body, `"done":1`) {
			t.Errorf("deleted: %+v", got)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Another server of the same database gives the same answer.
func TestIdempotencyKeyAtAnotherServer(t *testing.T) {
	store := registrytest.Memory()
	box, err := auth.OpenBox(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	one, two := serveSealed(t, store, box), serveSealed(t, store, box)
	path := "/api/v1/machines/" + one.machines(t, 1)[0].ID + "/retire"
	first := one.ask(t, "ana", "key", path, "")
	again := two.ask(t, "ana", "key", path, "")
	if again.replayed = false; first.status != http.StatusOK || again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
}

// A connection that breaks after the server did its work is no harm: the client
// asks once more, and gets the answer.
func TestClientAsksAgain(t *testing.T) {
	s := serve(t)
	one := s.machines(t, 1)[0]
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var requests atomic.Int64
	breaking := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("As", "ana admin")
		if requests.Add(1) == 1 {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer breaking.Close()
	m, err := (&api.Client{Base: breaking.URL}).Retire(t.Context(), one.ID)
	if err != nil || m.State != registry.Retired || m.Version != 2 || requests.Load() != 2 {
		t.Errorf("%+v, %v after %d requests", m, err, requests.Load())
	}
}
