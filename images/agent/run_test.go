package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

var mac = registry.MAC{0x52, 0x54, 0, 0x77, 0, 1}

// server answers the agent with a list of replies; past its end it holds a poll
// until the agent leaves.
type server struct {
	mu       sync.Mutex
	replies  []reply
	requests []string // "POST /api/v1/agent/register boot-token"
	bodies   []api.RegisterRequest
}

// reply is one answer: a status with a body, or the error of the connection.
type reply struct {
	status int
	body   any
	err    error
}

func (s *server) take(r *http.Request) (reply, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI()+" "+token)
	if r.Method == http.MethodPost {
		var body api.RegisterRequest
		if err := json.NewDecoder(r.Body).Decode(&body); err == nil {
			s.bodies = append(s.bodies, body)
		}
	}
	if len(s.replies) == 0 {
		return reply{}, false
	}
	next := s.replies[0]
	s.replies = s.replies[1:]
	return next, true
}

// RoundTrip makes a server a transport, so that time can be the test's.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	next, ok := s.take(r)
	if !ok {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if next.err != nil {
		return nil, next.err
	}
	w := httptest.NewRecorder()
	next.write(w)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (r reply) write(w http.ResponseWriter) {
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(r.body)
}

// The answers of a server, good and bad.
func registered(next registry.Instruction) reply {
	return reply{status: 201, body: api.RegisterReply{ID: "m-1", Name: "amber-fox", State: registry.Ready, Token: "machine-1", Next: next}}
}

func told(next registry.Instruction, token string) reply {
	return reply{status: 200, body: api.NextReply{Name: "amber-fox", State: registry.Ready, Token: token, Next: next}}
}

func problem(status int, detail string) reply {
	return reply{status: status, body: map[string]any{"status": status, "title": http.StatusText(status), "detail": detail}}
}

func away() reply { return reply{err: syscall.ECONNREFUSED} }

// machine is what the fake functions of a Config saw.
type machine struct {
	mu      sync.Mutex
	did     []string
	console bytes.Buffer
	late    chan struct{}
	disks   []registry.Disk
	actions map[string]action.Func

	unmarked error // what Mark answers
}

// action is what the test says an image does; for others it is not known.
func (m *machine) action(image string) (action.Action, bool) {
	f, ok := m.actions[image]
	return f, ok
}

func (m *machine) do(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.did = append(m.did, what)
}

func (m *machine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.console.Write(p)
}

func (m *machine) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.console.String()
}

// config is a machine with one port that gets an address at once.
func (m *machine) config(client *http.Client, url string) Config {
	m.late = make(chan struct{}, 1)
	start := time.Now()
	return Config{
		Boot:    Boot{URL: url, Token: "boot-token", MAC: mac},
		Console: NewConsole([]io.Writer{m}, nil), Log: slog.New(slog.NewTextHandler(m, nil)), HTTP: client,
		Uptime: func() time.Duration { return time.Since(start) }, Late: m.late,
		Devices: func(context.Context, *sync.WaitGroup) {},
		Network: func(ctx context.Context, changed func([]Port)) error {
			changed([]Port{{Name: "eth0", MAC: mac, Link: true}})
			changed([]Port{{Name: "eth0", MAC: mac, Link: true, Address: netip.MustParsePrefix("10.0.0.7/24"), Hostname: "rack1-7"}})
			<-ctx.Done()
			return nil
		},
		Hardware: func(context.Context) registry.Hardware {
			m.mu.Lock()
			defer m.mu.Unlock()
			return registry.Hardware{
				Disks: slices.Clone(m.disks),
				NICs:  []registry.NIC{{Name: "eth0", MAC: mac}, {PCI: "0000:01:00.0", PCIID: "8086:1533"}},
			}
		},
		BootID: "boot-0001", Action: m.action, LinkDisks: func() error { return nil },
		Disk:     func(device string) (string, error) { return strings.TrimRight(path.Base(device), "123"), nil },
		Restart:  func() error { m.do("restart"); return nil },
		BootDisk: func() error { m.do("boot disk"); return nil },
		Release:  func() error { return nil },
		Mark: func(disk, machine, deployment string) error {
			m.do("mark " + disk + " " + machine + " " + deployment)
			return m.unmarked
		},
		BootEntry: func(_ context.Context, disk string, _ func(string)) error { m.do("boot entry " + disk); return nil },
	}
}

// play runs an agent against replies, in a bubble of its own time.
func play(t *testing.T, replies ...reply) (*machine, *server, time.Duration) {
	t.Helper()
	m, s := &machine{}, &server{replies: replies}
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := Run(t.Context(), m.config(&http.Client{Transport: s}, "http://df")); err != nil {
			t.Errorf("run: %v", err)
		}
		took = time.Since(start)
	})
	return m, s, took
}

const (
	post = "POST /api/v1/agent/register boot-token"
	poll = "GET /api/v1/agent/next?wait=30s "
)

func TestRunRegistersAndObeys(t *testing.T) {
	m, s, took := play(t, registered(registry.Wait), told(registry.Wait, ""), told(registry.Reboot, ""))
	if want := []string{post, poll + "machine-1", poll + "machine-1"}; !slices.Equal(s.requests, want) {
		t.Errorf("asked %q, want %q", s.requests, want)
	}
	if !slices.Equal(m.did, []string{"restart"}) {
		t.Errorf("did %q", m.did)
	}
	want := api.RegisterRequest{MAC: mac, MACs: []registry.MAC{mac}, Hostname: "rack1-7"}
	got := s.bodies[0]
	if got.MAC != want.MAC || !slices.Equal(got.MACs, want.MACs) || got.Hostname != want.Hostname {
		t.Errorf("registered %+v", got)
	}
	if nic := got.Hardware.NICs[0]; nic.Address != netip.MustParseAddr("10.0.0.7") || !nic.Link {
		t.Errorf("the port is registered as %+v", nic)
	}
	for _, line := range []string{
		"dragonfly: registered as amber-fox in 0.00s\n",
		" machine   amber-fox\n state     ready\n server    http://df\n port      eth0 52:54:00:77:00:01 10.0.0.7/24\n",
		" MISSING   a driver for the network device 8086:1533 at PCI 0000:01:00.0\n",
	} {
		if !strings.Contains(m.text(), line) {
			t.Errorf("the console does not say %q:\n%s", line, m.text())
		}
	}
	if took < pollMin || took > 3*time.Second {
		t.Errorf("a server that does not hold polls was asked again at once: %v", took)
	}
}

func TestRunRetriesUntilTheServerIsThere(t *testing.T) {
	m, s, took := play(t, away(), away(), problem(503, "the database is not available"), problem(422, "hardware: too many disks"),
		registered(registry.Reboot))
	if len(s.requests) != 5 || !slices.Equal(m.did, []string{"restart"}) {
		t.Errorf("asked %q, did %q", s.requests, m.did)
	}
	for _, text := range []string{"connection refused", "503: the database is not available", "422: hardware: too many disks"} {
		if !strings.Contains(m.text(), text) {
			t.Errorf("the console does not say %q", text)
		}
	}
	// 250, 500, 1000 and 2000 ms, each between a half and the whole.
	if took < 1875*time.Millisecond || took > 3750*time.Millisecond {
		t.Errorf("waited %v", took)
	}
}

func TestRunRestartsWhenTheTokenIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		replies []reply
		says    string
	}{
		"expired": {slices.Repeat([]reply{problem(401, "the boot token has expired")}, maxRefusal), "the boot token has expired"},
		"another machine's": {
			slices.Repeat([]reply{problem(403, "the boot token was given to another")}, maxRefusal), "given to another",
		},
		"removed while waiting": {
			append([]reply{registered(registry.Wait)}, slices.Repeat([]reply{problem(401, "this machine's record was removed")}, maxRefusal)...),
			"record was removed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, s, _ := play(t, test.replies...)
			if len(s.requests) != len(test.replies) || !slices.Equal(m.did, []string{"restart"}) {
				t.Errorf("asked %d times, did %q", len(s.requests), m.did)
			}
			if !strings.Contains(m.text(), test.says) || !strings.Contains(m.text(), "restarting for a fresh one") {
				t.Errorf("the console does not say why:\n%s", m.text())
			}
		})
	}
}

func TestRefusalsCountOnlyInARow(t *testing.T) {
	replies := []reply{}
	for range maxRefusal {
		replies = append(replies, problem(401, "the boot token has expired"), away())
	}
	m, _, _ := play(t, append(replies, registered(registry.Reboot))...)
	if strings.Contains(m.text(), "restarting for a fresh one") {
		t.Error("a server that restarts drove the machine away")
	}
}

func TestRunSurvivesAServerRestart(t *testing.T) {
	m, s, _ := play(t, registered(registry.Wait), told(registry.Wait, ""), away(), away(), away(), problem(503, "no leader"),
		told(registry.Wait, ""), told(registry.Reboot, ""))
	if !slices.Equal(m.did, []string{"restart"}) || len(s.requests) != 8 {
		t.Errorf("asked %q, did %q", s.requests, m.did)
	}
	for _, r := range s.requests[1:] {
		if r != poll+"machine-1" {
			t.Errorf("asked %q", r)
		}
	}
}

func TestRunUsesAFreshToken(t *testing.T) {
	_, s, _ := play(t, registered(registry.Wait), told(registry.Wait, "machine-2"), told(registry.Wait, ""), told(registry.Reboot, ""))
	if want := []string{post, poll + "machine-1", poll + "machine-2", poll + "machine-2"}; !slices.Equal(s.requests, want) {
		t.Errorf("asked %q, want %q", s.requests, want)
	}
}

func TestRunBootsTheDisk(t *testing.T) {
	m, _, _ := play(t, registered(registry.Wait), told(registry.LocalBoot, ""))
	if !slices.Equal(m.did, []string{"boot disk", "restart"}) {
		t.Errorf("did %q", m.did)
	}
}

// An agent that waits restarts to work for Tinkerbell; one that does already goes on,
// without asking all the time.
func TestRunEntersTinkerbell(t *testing.T) {
	m, _, _ := play(t, registered(registry.Wait), told(registry.EnterOSIE, ""))
	expect(t, "did", m.did, []string{"restart"})
	m, s := &machine{}, &server{replies: []reply{told(registry.EnterOSIE, ""), told(registry.EnterOSIE, ""), told(registry.LocalBoot, "")}}
	synctest.Test(t, func(t *testing.T) {
		start, cfg := time.Now(), m.config(&http.Client{Transport: s}, "http://df")
		cfg.Boot.Tink.Authority = "tink:1"
		a := &agent{Config: cfg, screen: newScreen(cfg.Console)}
		if err := a.obey(t.Context(), api.RegisterReply{}); err != nil || time.Since(start) < 2*hereFor {
			t.Errorf("asked three times in %v, %v", time.Since(start), err)
		}
	})
	expect(t, "did", m.did, []string{"boot disk", "restart"})
}

func TestRunPassesOverAnUnknownInstruction(t *testing.T) {
	m, s, took := play(t, registered("sing"), told("dance\x1b[2J", ""), told("dance", ""), told(registry.Reboot, ""))
	if len(s.requests) != 4 || !slices.Equal(m.did, []string{"restart"}) {
		t.Errorf("asked %q, did %q", s.requests, m.did)
	}
	if !strings.Contains(m.text(), "instruction=sing") || strings.Contains(m.text(), "\x1b") {
		t.Errorf("the console says\n%s", m.text())
	}
	if took < 2*pollMin {
		t.Errorf("asked again at once, in %v", took)
	}
}

func TestRunReportsLateHardware(t *testing.T) {
	m, s := &machine{}, &server{replies: []reply{registered(registry.Wait)}}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := m.config(&http.Client{Transport: s}, "http://df")
		ended := make(chan error)
		go func() { ended <- Run(ctx, cfg) }()
		synctest.Wait() // it polls
		m.late <- struct{}{}
		time.Sleep(lateFor + time.Second)
		synctest.Wait()
		if len(s.bodies) != 1 {
			t.Errorf("the same hardware was reported %d times", len(s.bodies))
		}
		s.mu.Lock()
		s.replies = []reply{registered(registry.Wait)}
		s.mu.Unlock()
		m.mu.Lock()
		m.disks = []registry.Disk{{Name: "sdz"}}
		m.mu.Unlock()
		m.late <- struct{}{}
		time.Sleep(lateFor + time.Second)
		synctest.Wait()
		if len(s.bodies) != 2 || len(s.bodies[1].Hardware.Disks) != 1 {
			t.Errorf("registered %+v", s.bodies)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// TestRunAgainstARealServer is the same over TCP.
func TestRunAgainstARealServer(t *testing.T) {
	s := &server{replies: []reply{registered(registry.Wait), told(registry.Reboot, "")}}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next, ok := s.take(r); ok {
			next.write(w)
		}
	}))
	defer ts.Close()
	m := &machine{}
	if err := Run(t.Context(), m.config(httpClient(), ts.URL)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.did, []string{"restart"}) {
		t.Errorf("did %q", m.did)
	}
}
