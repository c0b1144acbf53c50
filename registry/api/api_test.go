package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/auth"
	"dragonfly/registry/registrytest"
)

// server is the API over a store in memory.
type server struct {
	*httptest.Server
	store    stores
	registry *registry.Registry
	tokens   *auth.Tokens
	accounts *auth.Accounts
}

func serve(t *testing.T) *server { return serveOver(t, registrytest.Memory()) }

// stores is what a server keeps things in.
type stores interface {
	registry.Store
	auth.Store
	auth.Secrets
	api.Requests
}

// serveOver is a server on store. Who asks is in the header As: name and role.
func serveOver(t *testing.T, store stores) *server {
	t.Helper()
	box, err := auth.OpenBox(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return serveSealed(t, store, box)
}

func serveSealed(t *testing.T, store stores, box *auth.Box) *server {
	t.Helper()
	return serveWith(t, store, box, registry.Tools{})
}

// serveEquipped is a server with what deployments need.
func serveEquipped(t *testing.T, store stores, tools registry.Tools) *server {
	t.Helper()
	box, err := auth.OpenBox(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return serveWith(t, store, box, tools)
}

func serveWith(t *testing.T, store stores, box *auth.Box, tools registry.Tools) *server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), store, log)
	if err != nil {
		t.Fatal(err)
	}
	reg.Equip(tools)
	tokens, err := auth.NewTokens(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := auth.NewAccounts(store)
	if err != nil {
		t.Fatal(err)
	}
	router := chi.NewRouter()
	router.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, role, _ := strings.Cut(r.Header.Get("As"), " ")
			next.ServeHTTP(w, r.WithContext(registry.WithActor(r.Context(), registry.Actor{Name: name, Role: role, From: "10.0.0.9"})))
		})
	})
	api.Mount(router, api.Config{Registry: reg, Tokens: tokens, Accounts: accounts, Requests: store, Sealer: box, Log: log})
	s := &server{Server: httptest.NewServer(router), store: store, registry: reg, tokens: tokens, accounts: accounts}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reg.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

var mac = registry.MAC{0x52, 0x54, 0, 1, 2, 3}

func request() api.RegisterRequest {
	return api.RegisterRequest{MAC: mac, MACs: []registry.MAC{mac}, Hostname: "lease-17", Hardware: registry.Hardware{
		System: registry.System{Vendor: "Acme", Product: "R1", Serial: "SN-1", UUID: "4c4c4544-0042-3510-8052-b4c04f564433"},
		Disks:  []registry.Disk{{Name: "nvme0n1", Serial: "D-1", Bytes: 1 << 40}},
	}}
}

// agent is a client with the boot token of mac.
func (s *server) agent() *api.Client {
	return &api.Client{Base: s.URL, Token: s.tokens.Boot(mac)}
}

// post sends a raw body to the registration with a token.
func (s *server) post(t *testing.T, token, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/api/v1/agent/register", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestRegister(t *testing.T) {
	s := serve(t)
	body, _ := json.Marshal(request())
	if resp := s.post(t, s.tokens.Boot(mac), string(body)); resp.StatusCode != http.StatusCreated {
		t.Errorf("new machine: %s", resp.Status)
	}
	if resp := s.post(t, s.tokens.Boot(mac), string(body)); resp.StatusCode != http.StatusOK {
		t.Errorf("known machine: %s", resp.Status)
	}
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil || reply.State != registry.Ready || reply.Next != registry.Wait || reply.Token == "" {
		t.Fatalf("%+v, %v", reply, err)
	}
	operator := &api.Client{Base: s.URL}
	m, err := operator.Machine(t.Context(), reply.Name)
	if err != nil || m.ID != reply.ID || !m.Online || m.Hardware.Disks[0].Serial != "D-1" || m.Address.String() != "127.0.0.1" {
		t.Errorf("by name: %+v, %v", m, err)
	}
}

func TestRegisterWithoutRoom(t *testing.T) {
	s := serve(t)
	s.registry.Bound(1)
	if _, err := s.agent().Register(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	other := request()
	other.MAC[5]++
	other.MACs, other.Hardware.System.UUID, other.Hardware.System.Serial = []registry.MAC{other.MAC}, "", "SN-2"
	agent := &api.Client{Base: s.URL, Token: s.tokens.Boot(other.MAC)}
	if _, err := agent.Register(t.Context(), other); api.Status(err) != http.StatusInsufficientStorage || !strings.Contains(err.Error(), "--max-machines") {
		t.Errorf("one machine too many: %v", err)
	}
}

func TestRegisterWithLittleHardware(t *testing.T) {
	s := serve(t)
	resp := s.post(t, s.tokens.Boot(mac), `{"mac":"52-54-00-01-02-03","hardware":{}}`)
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(resp.Body)
		t.Errorf("%s: %s", resp.Status, text)
	}
}

// Each must be refused with a problem document that says what was wrong, and
// leave nothing behind.
func TestRegisterRefuses(t *testing.T) {
	s := serve(t)
	boot := s.tokens.Boot(mac)
	with := func(change func(*api.RegisterRequest)) string {
		req := request()
		change(&req)
		body, _ := json.Marshal(req)
		return string(body)
	}
	good := with(func(*api.RegisterRequest) {})
	tests := []struct {
		name, token, body string
		status            int
		says              string
	}{
		{"no token", "", good, 401, "Bearer"},
		{"no token and no JSON", "", "{", 401, "Bearer"},
		{"forged token", forged(boot), good, 401, "not valid"},
		{"machine token", s.tokens.Machine("m-1", ""), good, 401, "not valid"},
		{"token of another machine", s.tokens.Boot(registry.MAC{2, 0, 0, 0, 0, 9}), good, 403, "was given to 02:00:00:00:00:09"},
		{"no body", boot, "", 400, "body"},
		{"not JSON", boot, "mac=52:54:00:01:02:03", 400, ""},
		{"wrong type", boot, `{"mac":"52:54:00:01:02:03","hardware":{"disks":"many"}}`, 422, "array"},
		{"number for text", boot, `{"mac":12,"hardware":{}}`, 422, "string"},
		{"bad MAC", boot, `{"mac":"52:54:00:01:02","hardware":{}}`, 422, "six hexadecimal bytes"},
		{"bad MAC in the list", boot, `{"mac":"52:54:00:01:02:03","macs":["x"],"hardware":{}}`, 422, "six hexadecimal bytes"},
		{"no hardware", boot, `{"mac":"52:54:00:01:02:03"}`, 422, "hardware"},
		{"unknown member", boot, `{"mac":"52:54:00:01:02:03","hardware":{},"admin":true}`, 422, "there is no member"},
		{"10 MiB", boot, `{"mac":"` + strings.Repeat("a", 10<<20) + `"}`, 413, "too large"},
		{"10,000 disks", boot, with(func(r *api.RegisterRequest) { r.Hardware.Disks = make([]registry.Disk, 10_000) }), 422, "10000 entries; at most 512"},
		{"control characters", boot, with(func(r *api.RegisterRequest) { r.Hardware.System.Product = "\x1b[31mred" }), 422, "control character"},
		{"markup", boot, with(func(r *api.RegisterRequest) { r.Hostname = "<img src=x onerror=alert(1)>" }), 422, "markup"},
		{"bad address", boot, `{"mac":"52:54:00:01:02:03","hardware":{"bmc":{"address":"not an address"}}}`, 422, "ip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := s.post(t, tt.token, tt.body)
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(text), tt.says) {
				t.Errorf("%s %.300s; want %d and %q", resp.Status, text, tt.status, tt.says)
			}
			if kind := resp.Header.Get("Content-Type"); kind != "application/problem+json" {
				t.Errorf("content type %q", kind)
			}
			if n := s.registry.Count(); n != 0 {
				t.Errorf("%d machines were left behind", n)
			}
		})
	}
}

// forged is a token with another letter near its end.
func forged(token string) string {
	letter, at := "A", len(token)-2
	if token[at:at+1] == letter {
		letter = "B"
	}
	return token[:at] + letter + token[at+1:]
}

// A body of another type is told which one is taken.
func TestContentTypes(t *testing.T) {
	s := serve(t)
	for path, status := range map[string]int{"/api/v1/agent/register": 422, "/api/v1/machines/import": 415} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader("mac,name\n52:54:00:01:02:03,x\n"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/csv")
		r.Header.Set("Authorization", "Bearer "+s.tokens.Boot(mac))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != status || !strings.Contains(string(text), "unknown content type: text/csv; want application/json") {
			t.Errorf("%s: %s %s %v", path, resp.Status, text, err)
		}
	}
}

// A host that posts rubbish without end must not grow the server.
func TestRefusalsDoNotGrowMemory(t *testing.T) {
	s := serve(t)
	boot := s.tokens.Boot(mac)
	body := `{"mac":"` + strings.Repeat("a", 2<<20) + `"}`
	refuse := func(times int) uint64 {
		for range times {
			resp := s.post(t, boot, body)
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := refuse(20)
	if after := refuse(100); after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes over 100 refusals", before, after)
	}
}

func TestNext(t *testing.T) {
	s := serve(t)
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	agent := &api.Client{Base: s.URL, Token: reply.Token}
	if next, err := agent.Next(t.Context(), time.Millisecond); err != nil || next.Next != registry.Wait || next.Name != reply.Name {
		t.Errorf("nothing to do: %+v, %v", next, err)
	}
	answers := make(chan api.NextReply, 1)
	go func() {
		next, err := agent.Next(context.WithoutCancel(t.Context()), registry.MaxWait)
		if err != nil {
			t.Error(err)
		}
		answers <- next
	}()
	if _, err := (&api.Client{Base: s.URL}).Instruct(t.Context(), reply.ID, registry.Reboot); err != nil {
		t.Fatal(err)
	}
	if next := <-answers; next.Next != registry.Reboot {
		t.Errorf("waiting agent got %+v", next)
	}
	for name, client := range map[string]*api.Client{
		"boot token":        s.agent(),
		"no token":          {Base: s.URL},
		"a removed machine": {Base: s.URL, Token: s.tokens.Machine("m-gone", "")},
	} {
		if _, err := client.Next(t.Context(), 0); api.Status(err) != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMachinesAreListedInPages(t *testing.T) {
	s := serve(t)
	names := map[string]bool{}
	for i := range 25 {
		m := registry.MAC{2, 0, 0, 0, 0, byte(i)}
		_, _, err := s.registry.Register(t.Context(), registry.Registration{MAC: m, Hardware: registry.Hardware{
			System: registry.System{UUID: fmt.Sprintf("4c4c4544-0042-3510-8052-b4c04f5644%02d", i)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	operator := &api.Client{Base: s.URL}
	after := ""
	for range 3 {
		machines, next, err := operator.Machines(t.Context(), api.Selection{}, after, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range machines {
			if m.Hardware != nil {
				t.Error("a list carries no hardware")
			}
			names[m.Name] = true
		}
		after = next
	}
	if len(names) != 25 || after != "" {
		t.Errorf("%d machines in three pages of ten, next %q", len(names), after)
	}
	if _, _, err := operator.Machines(t.Context(), api.Selection{}, "", 5000); api.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a page of 5000: %v", err)
	}
	if _, err := operator.Machine(t.Context(), "no-such"); api.Status(err) != http.StatusNotFound {
		t.Errorf("unknown machine: %v", err)
	}
	if _, err := operator.Instruct(t.Context(), "no-such", "explode"); api.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("unknown instruction: %v", err)
	}
}

func TestEventsResume(t *testing.T) {
	s := serve(t)
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open := func(last string) *bufio.Reader {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/events", nil)
		r.Header.Set("Last-Event-ID", last)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Fatalf("content type %q", kind)
		}
		return bufio.NewReader(resp.Body)
	}
	first := readEvent(t, open("0"))
	if first.ID != 1 || first.Kind != registry.MachineRegistered || first.Machine != reply.ID || first.MAC != mac {
		t.Errorf("first event %+v", first)
	}
	resumed := open("1") // nothing yet: the next one is what happens now
	if _, err := (&api.Client{Base: s.URL}).Instruct(ctx, reply.ID, registry.Reboot); err != nil {
		t.Fatal(err)
	}
	if e := readEvent(t, resumed); e.ID != 2 || e.Kind != registry.MachineInstructed {
		t.Errorf("resumed with %+v", e)
	}
	if line, err := open("").ReadString('\n'); err != nil || line != "id: 2\n" {
		t.Errorf("a stream from now on begins with %q, %v", line, err)
	}
	for _, bad := range []string{"x", "-1", "99999999999999999999"} {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/events?after="+bad, nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil || resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("after=%s: %v, %v", bad, resp.Status, err)
		}
		resp.Body.Close()
	}
}

func readEvent(t *testing.T, stream *bufio.Reader) (e api.Event) {
	t.Helper()
	for {
		line, err := stream.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			return e
		}
	}
}

func TestStoreAway(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	memory := registrytest.Memory()
	tokens, err := auth.NewTokens(t.Context(), memory)
	if err != nil {
		t.Fatal(err)
	}
	gone := &failing{Store: memory}
	reg, err := registry.New(t.Context(), gone, log)
	if err != nil {
		t.Fatal(err)
	}
	gone.away = true
	router := chi.NewRouter()
	api.Mount(router, api.Config{Registry: reg, Tokens: tokens, Log: log})
	s := httptest.NewServer(router)
	defer s.Close()
	_, err = (&api.Client{Base: s.URL, Token: tokens.Boot(mac)}).Register(t.Context(), request())
	if api.Status(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "database is not available") {
		t.Errorf("registration while the database is away: %v", err)
	}
}

// failing is a store that can go away.
type failing struct {
	registry.Store
	away bool
}

func (f *failing) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if f.away {
		return nil, fmt.Errorf("dial: %w", registry.ErrUnavailable)
	}
	return f.Store.Machines(ctx, q)
}

func (f *failing) Commit(ctx context.Context, c registry.Change) error {
	if f.away {
		return fmt.Errorf("dial: %w", registry.ErrUnavailable)
	}
	return f.Store.Commit(ctx, c)
}

func TestOpenAPI(t *testing.T) {
	s := serve(t)
	resp, err := http.Get(s.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for path, method := range map[string]string{
		"/api/v1/agent/register": "post", "/api/v1/agent/next": "get", "/api/v1/machines": "get",
		"/api/v1/machines/{id}": "get", "/api/v1/machines/{id}/instruction": "post", "/api/v1/events": "get",
	} {
		if doc.Paths[path][method] == nil {
			t.Errorf("%s %s is not documented", method, path)
		}
	}
}
