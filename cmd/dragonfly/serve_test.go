package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// rig is an appliance as `dragonfly serve` runs it, on a free port.
type rig struct {
	cfg  config
	url  string
	stop context.CancelFunc
	done chan error
}

func testConfig(t *testing.T) config {
	t.Helper()
	dir := t.TempDir()
	cfg := config{Host: "127.0.0.1", Port: freePort(t), DataDir: dir, ImageDir: filepath.Join(dir, "images"), IPXEROM: "use"}
	for _, name := range []string{"vmlinuz", "initramfs.zst"} {
		path := filepath.Join(cfg.ImageDir, "amd64", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func freePort(t *testing.T) int {
	t.Helper()
	return freePortOf(t, "127.0.0.1")
}

// given are the ports that tests have: nobody listens yet on one that was given to
// another test just now. Linux gives those from 32768 on to whoever asks for any port,
// also while the server of a test is down that is to have it again.
var given sync.Map

func freePortOf(t *testing.T, ip string) int {
	t.Helper()
	for range 1000 {
		port := 20_000 + rand.N(12_000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("no port of %s is free", ip)
	return 0
}

// start runs an appliance until it answers.
func start(t *testing.T, cfg config) *rig {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &rig{cfg: cfg, url: fmt.Sprintf("http://127.0.0.1:%d", cfg.Port), stop: stop, done: make(chan error, 1)}
	go func() {
		defer close(r.done)
		r.done <- serve(ctx, cfg, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() { // it writes a snapshot yet, to what is removed then
		stop()
		for range r.done {
		}
	})
	for {
		resp, err := http.Get(r.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return r
			}
		}
		select {
		case err := <-r.done:
			t.Fatalf("the appliance ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stopsWithin is how long stopping may take on a busy host: less than the longest poll.
const stopsWithin = registry.MaxWait / 2

// end stops the appliance and returns how long that took.
func (r *rig) end(t *testing.T) time.Duration {
	t.Helper()
	begin := time.Now()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	return time.Since(begin)
}

func TestMetrics(t *testing.T) {
	r := start(t, testConfig(t))
	status, body := r.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics: %d %s", status, body)
	}
	for _, want := range []string{`dragonfly_machines{state="ready"} 0`, "dragonfly_agents_waiting 0",
		"dragonfly_sightings_dropped_total 0", "process_resident_memory_bytes"} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func (r *rig) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(r.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// cli runs a command line as an operator would.
func (r *rig) cli(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root := rootCommand()
	var out, errs bytes.Buffer
	root.SetArgs(turnedRound(append(args, "--data-dir", r.cfg.DataDir)))
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(t.Context())
	if err == nil {
		return 0, out.String(), errs.String()
	}
	return exitCode(err), out.String(), err.Error()
}

var bootToken = regexp.MustCompile(`dragonfly\.token=(\S+)`)

// register does what a machine does from its script on.
func (r *rig) register(t *testing.T, mac registry.MAC) api.RegisterReply {
	t.Helper()
	code, script := r.get(t, "/boot/"+mac.String()+"/auto.ipxe?arch=bios")
	token := bootToken.FindStringSubmatch(script)
	if code != http.StatusOK || token == nil {
		t.Fatalf("script: %d\n%s", code, script)
	}
	agent := &api.Client{Base: r.url, Token: token[1]}
	reply, err := agent.Register(t.Context(), api.RegisterRequest{MAC: mac,
		Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Serial: "SN-" + mac.String()}}})
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestApplianceKeepsWhatItAcknowledged(t *testing.T) {
	mac := registry.MAC{0x52, 0x54, 0, 0, 0, 1}
	first := start(t, testConfig(t))
	reply := first.register(t, mac)
	if took := first.end(t); took > stopsWithin {
		t.Errorf("stopping took %v", took)
	}
	second := start(t, first.cfg)
	defer second.end(t)
	code, body := second.get(t, "/api/v1/machines/"+reply.Name)
	if code != http.StatusOK || !strings.Contains(body, reply.ID) {
		t.Errorf("after a restart: %d %s", code, body)
	}
	agent := &api.Client{Base: second.url, Token: reply.Token}
	if next, err := agent.Next(t.Context(), 0); err != nil || next.Name != reply.Name {
		t.Errorf("the agent's token after a restart: %+v, %v", next, err)
	}
	if again := second.register(t, mac); again.ID != reply.ID {
		t.Errorf("registered again as %s, was %s", again.ID, reply.ID)
	}
}

func TestApplianceStopsWithOpenPolls(t *testing.T) {
	r := start(t, testConfig(t))
	reply := r.register(t, registry.MAC{0x52, 0x54, 0, 0, 0, 1})
	polling := make(chan error, 1)
	go func() {
		_, err := (&api.Client{Base: r.url, Token: reply.Token}).Next(context.WithoutCancel(t.Context()), registry.MaxWait)
		polling <- err
	}()
	resp, err := http.Get(r.url + "/api/v1/events?after=0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if took := r.end(t); took > stopsWithin {
		t.Errorf("stopping with an open poll and an open stream took %v", took)
	}
	if err := <-polling; err == nil {
		t.Error("the poll ended as if the server were there")
	}
}

func TestApplianceAccess(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	if code, _ := r.get(t, "/api/v1/machines"); code != http.StatusOK {
		t.Errorf("this host, no account yet: %d", code)
	}
	if code, _, stderr := r.cli(t, "short\n", "user", "create", "ana", "--password-stdin"); code == 0 || !strings.Contains(stderr, "10 to 256 characters") {
		t.Errorf("a short password: %d %s", code, stderr)
	}
	if code, stdout, stderr := r.cli(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin"); code != 0 || !strings.Contains(stdout, "ana may sign in") {
		t.Fatalf("create: %d %s%s", code, stdout, stderr)
	}
	for path, want := range map[string]int{
		"/api/v1/machines": 401, "/api/v1/events": 401, "/openapi.json": 401, "/machines": 401, "/api/v1/nothing": 401,
		"/healthz": 200, "/readyz": 200, "/login": 200, "/boot/52:54:00:00:00:01/auto.ipxe": 200, "/api/v1/agent/next": 401,
	} {
		if code, _ := r.get(t, path); code != want {
			t.Errorf("not signed in, %s: %d, want %d", path, code, want)
		}
	}
}

func TestExplain(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	code, stdout, stderr := r.cli(t, "", "explain", "52-54-00-00-00-01", "--arch", "bios")
	for _, want := range []string{"no machine has this address", "undionly.kpxe", "unknown machine", "#!ipxe", shownToken} {
		if !strings.Contains(stdout, want) {
			t.Errorf("explain has no %q: %d\n%s%s", want, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"explain", "nonsense"}, {"explain", "52:54:00:00:00:01", "--arch", "toaster"}, {"explain"}} {
		if code, _, stderr := r.cli(t, "", args...); code == 0 || stderr == "" {
			t.Errorf("%v: %d %q", args, code, stderr)
		}
	}
	if code, body := r.get(t, "/api/v1/machines"); code != http.StatusOK || !strings.Contains(body, `"machines":[]`) {
		t.Errorf("explaining left something behind: %s", body)
	}
}

func TestNoApplianceRuns(t *testing.T) {
	r := &rig{cfg: config{DataDir: t.TempDir()}}
	if code, _, stderr := r.cli(t, "", "explain", "52:54:00:00:00:01"); code == 0 || !strings.Contains(stderr, "start it with") {
		t.Errorf("%d %q", code, stderr)
	}
}
