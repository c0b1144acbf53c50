package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// envOutage is how long the database is away in [TestOutage]; a second by default.
const envOutage = "DRAGONFLY_TEST_OUTAGE"

// rqlited is a real rqlite of its own process.
type rqlited struct {
	binary, dir, address, raft string
	cmd                        *exec.Cmd
}

// TestMain removes what tests share.
func TestMain(m *testing.M) {
	code := uitest.Main(m)
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir) // in a directory for what may be left behind
	}
	os.Exit(code)
}

// shared is where rqlited is built, once for all tests.
var shared struct {
	sync.Once
	dir string
	err error
}

// newRqlited is an rqlite that was not started yet.
func newRqlited(t *testing.T) *rqlited {
	t.Helper()
	shared.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "dragonfly-rqlited-"); shared.err == nil {
			shared.err = buildRqlited(shared.dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return &rqlited{binary: filepath.Join(shared.dir, "rqlited"), dir: filepath.Join(t.TempDir(), "data"),
		address: fmt.Sprintf("127.0.0.1:%d", freePort(t)), raft: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
}

// buildRqlited builds rqlited at the version that this program embeds. What only
// that command needs is not in go.mod: a copy takes it.
func buildRqlited(dir string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	build := exec.Command("go", "build", "-mod=mod", "-modfile="+filepath.Join(dir, "go.mod"), "-o", filepath.Join(dir, "rqlited"), "github.com/rqlite/rqlite/v8/cmd/rqlited")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build rqlited: %w\n%s", err, out)
	}
	return nil
}

func (q *rqlited) start(t *testing.T, more ...string) {
	t.Helper()
	q.cmd = exec.Command(q.binary, append(more, "-node-id", "1", "-http-addr", q.address, "-raft-addr", q.raft, q.dir)...)
	if err := q.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.end(t) })
}

func (q *rqlited) end(t *testing.T) {
	t.Helper()
	if q.cmd == nil {
		return
	}
	if err := q.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = q.cmd.Wait() // it was killed
	q.cmd = nil
}

// clients is how many register machines at once.
const clients = 8

// racks registers, with some clients, one machine after the other until it is told to stop.
type racks struct {
	url  string
	next atomic.Int64
	stop atomic.Bool
	all  sync.WaitGroup

	mu        sync.Mutex
	acked     map[registry.MAC]string // the machine's ID
	journaled int
	failed    map[string]int
	slowest   time.Duration
}

func loadRacks(url string, rack byte) *racks {
	l := &racks{url: url, acked: map[registry.MAC]string{}, failed: map[string]int{}}
	for range clients {
		l.all.Go(func() {
			for !l.stop.Load() {
				n := l.next.Add(1)
				mac := registry.MAC{0x52, 0x54, rack, byte(n >> 16), byte(n >> 8), byte(n)}
				from := time.Now()
				reply, err := enlist(url, mac)
				l.note(mac, reply, err, time.Since(from))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return l
}

func (l *racks) note(mac registry.MAC, reply api.RegisterReply, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	if err != nil {
		l.failed[err.Error()]++
		return
	}
	l.acked[mac] = reply.ID
	if reply.Status == "journaled" {
		l.journaled++
	}
}

// has reports whether more than n machines were acknowledged.
func (l *racks) has(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked) > n
}

// awaitJournaled waits until a registration has gone to the journal.
func (l *racks) awaitJournaled(t *testing.T) {
	t.Helper()
	err := waitFor(t.Context(), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.journaled > 0
	})
	if err != nil {
		t.Fatal("no registration is journaled")
	}
}

// enlist does what a machine does from its script on.
func enlist(url string, mac registry.MAC) (reply api.RegisterReply, err error) {
	resp, err := http.Get(url + "/boot/" + mac.String() + "/auto.ipxe?arch=bios")
	if err != nil {
		return reply, err
	}
	defer resp.Body.Close()
	script, err := io.ReadAll(resp.Body)
	token := bootToken.FindSubmatch(script)
	if err != nil || token == nil {
		return reply, errors.Join(err, fmt.Errorf("script: %s", resp.Status))
	}
	agent := &api.Client{Base: url, Token: string(token[1])}
	return agent.Register(context.Background(), api.RegisterRequest{MAC: mac, Hostname: "host",
		Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Serial: "SN-" + mac.String()}}})
}

// await asks /readyz until it says what is wanted.
func (r *rig) await(t *testing.T, status string) string {
	t.Helper()
	for range 1500 {
		if resp, err := http.Get(r.url + "/readyz"); err == nil {
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && strings.Contains(string(body), `"status":"`+status+`"`) {
				return string(body)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	_, journal, _ := r.cli(t, "", "journal")
	t.Fatalf("the appliance does not become %s:\n%s", status, journal)
	return ""
}

// TestOutage takes a real rqlite away under a load of registrations, restarts the
// appliance meanwhile, and looks for every machine that was acknowledged.
func TestOutage(t *testing.T) {
	t.Parallel()
	away := time.Second
	if text := os.Getenv(envOutage); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	db := newRqlited(t)
	db.start(t)
	cfg := testConfig(t)
	cfg.Rqlite = db.address
	r := start(t, cfg)

	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	token := r.admin(t).Token
	before := loadRacks(r.url, 1)
	time.Sleep(time.Second)
	if err := waitFor(t.Context(), func() bool { return before.has(0) }); err != nil {
		t.Fatal(err)
	}
	db.end(t)
	r.wantReadiness(t, token)
	r.wantRefusals(t, token)
	time.Sleep(away / 2)
	before.awaitJournaled(t)
	before.end(t)
	r.end(t)

	r = startDegraded(t, cfg)
	during := loadRacks(r.url, 2)
	time.Sleep(max(away/2, time.Second))
	during.awaitJournaled(t)
	db.start(t)
	r.await(t, "ready")
	during.end(t)
	if before.journaled == 0 || during.journaled == 0 {
		t.Errorf("%d and %d registrations were journaled; the test proves nothing", before.journaled, during.journaled)
	}
	r.wantAll(t, token, before.acked)
	r.wantAll(t, token, during.acked)
	if code, _ := r.ask(t, "", "/api/v1/machines"); code != http.StatusUnauthorized {
		t.Errorf("anybody may read: %d", code)
	}
	t.Logf("away %s: before the restart %d acknowledged (%d journaled, slowest %s), after it %d (%d, %s)", away,
		len(before.acked), before.journaled, before.slowest, len(during.acked), during.journaled, during.slowest)
}

// end ends the load; none of its registrations may have failed.
func (l *racks) end(t *testing.T) {
	t.Helper()
	l.stop.Store(true)
	l.all.Wait()
	for failure, times := range l.failed {
		t.Errorf("%d times: %s", times, failure)
	}
}

// startDegraded starts an appliance whose database is away.
func startDegraded(t *testing.T, cfg config) *rig {
	t.Helper()
	r, _ := startLogged(t, cfg)
	r.await(t, "degraded")
	return r
}

// ask is get with an API token, where it is not empty.
func (r *rig) ask(t *testing.T, token, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
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

// wantReadiness checks that /readyz tells everybody that the database is away, and
// only who is signed in why.
func (r *rig) wantReadiness(t *testing.T, token string) {
	t.Helper()
	if body := r.await(t, "degraded"); strings.TrimSpace(body) != `{"status":"degraded"}` {
		t.Errorf("/readyz for anybody: %s", body)
	}
	if code, body := r.ask(t, "df_nonsense", "/readyz"); code != http.StatusServiceUnavailable || strings.TrimSpace(body) != `{"status":"degraded"}` {
		t.Errorf("/readyz with a token that is not good: %d %s", code, body)
	}
	if code, body := r.ask(t, token, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "the database is away since") {
		t.Errorf("/readyz with a token: %d %s", code, body)
	}
	for args, want := range map[string]string{"status": "degraded\n- the database is away since", "status -o json": `"status": "degraded"`} {
		code, out, stderr := r.cli(t, "", strings.Fields(args)...)
		if code != exitAgainLater || !strings.Contains(out, want) || !strings.Contains(stderr, "the appliance is degraded") {
			t.Errorf("%s: %d %s%s", args, code, out, stderr)
		}
	}
}

// wantRefusals checks that what an operator asks for is refused, and why.
func (r *rig) wantRefusals(t *testing.T, token string) {
	t.Helper()
	code, list := r.ask(t, token, "/api/v1/machines?page_size=1")
	if code != http.StatusOK || !strings.Contains(list, `"stale":true`) || !strings.Contains(list, `"as_of"`) {
		t.Errorf("the list while away: %d %s", code, list)
	}
	var page struct{ Machines []api.Machine }
	if err := json.Unmarshal([]byte(list), &page); err != nil || len(page.Machines) == 0 {
		t.Fatalf("the list while away: %s, %v", list, err)
	}
	for path, want := range map[string]string{
		"/api/v1/machines/" + page.Machines[0].ID:                 `"stale":true`,
		"/api/v1/machines/" + page.Machines[0].ID + "/timeline":   `"stale":true`,
		"/api/v1/machines/" + page.Machines[0].ID + "/history":    `"stale":true`,
		"/api/v1/machines?fields=name,hardware.disks&page_size=1": `"stale":true`,
		"/api/v1/users":   `"stale":true`,
		"/api/v1/tokens":  `"stale":true`,
		"/api/v1/journal": `"away"`,
		"/api/v1/me":      `"name"`,
	} {
		if code, body := r.ask(t, token, path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s while away: %d %.300s; want %s", path, code, body, want)
		}
	}
	if code, body := r.ask(t, token, "/api/v1/audit"); code != http.StatusServiceUnavailable || !strings.Contains(body, "away since") {
		t.Errorf("the audit log while away: %d %s", code, body)
	}
	code, _, stderr := r.cli(t, "", "machine", "tag", page.Machines[0].Name, "x")
	if code != exitAgainLater || !strings.Contains(stderr, "the database is away since") {
		t.Errorf("a tag while away: %d, %s", code, stderr)
	}
	code, out, stderr := r.cli(t, "", "journal")
	if code != 0 || !strings.Contains(out, "away since") {
		t.Errorf("dragonfly journal: %d, %s%s", code, out, stderr)
	}
}

// wantAll checks that each machine is there, registered once, by the events from the
// first on to that of a machine that registers now.
func (r *rig) wantAll(t *testing.T, token string, acked map[registry.MAC]string) {
	t.Helper()
	marker := registry.MAC{0x52, 0x55}
	for mac := range acked {
		copy(marker[2:], mac[2:]) // one for each rack
	}
	end := r.register(t, marker)
	registered, from := map[string]int{}, map[string]registry.MAC{}
	last := errors.New("the last event")
	err := (&api.Client{Base: r.url, Token: token}).Events(t.Context(), 0, func(e api.Event) error {
		if e.Kind != registry.MachineRegistered {
			return nil
		}
		registered[e.Machine]++
		from[e.Machine] = e.MAC
		if e.Machine == end.ID {
			return last
		}
		return nil
	})
	if err != last {
		t.Fatal(err)
	}
	there := r.ids(t, token)
	missing, doubled := 0, 0
	for mac, id := range acked {
		if !there[id] || registered[id] == 0 {
			missing++
		} else if registered[id] != 1 || from[id] != mac {
			if doubled++; doubled == 1 {
				t.Logf("%s: %d events, from %s and not %s", id, registered[id], from[id], mac)
			}
		}
	}
	if missing+doubled > 0 {
		t.Errorf("of %d acknowledged machines %d are missing and %d were written otherwise than once", len(acked), missing, doubled)
	}
}

// ids are those of all machines.
func (r *rig) ids(t *testing.T, token string) map[string]bool {
	t.Helper()
	all, err := (&api.Client{Base: r.url, Token: token}).AllMachines(t.Context(), api.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, m := range all {
		ids[m.ID] = true
	}
	return ids
}

// certificate writes one that vouches for itself, for 127.0.0.1 and whoever shows it, and
// its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	made, err := x509.CreateCertificate(rand.Reader, want, want, private.Public(), private)
	secret, wrong := x509.MarshalPKCS8PrivateKey(private)
	if err := errors.Join(err, wrong); err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: made}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestDatabaseOverTLS runs on a real rqlite that speaks TLS, by an authority of its own,
// and wants to be shown a certificate.
func TestDatabaseOverTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	db := newRqlited(t)
	db.start(t, "-http-cert", cert, "-http-key", key, "-http-ca-cert", cert, "-http-verify-client")
	cfg := testConfig(t)
	cfg.Rqlite, cfg.RqliteCA, cfg.RqliteCert, cfg.RqliteKey = "https://"+db.address, cert, cert, key
	r := start(t, cfg)
	r.await(t, "ready")
	if reply, err := enlist(r.url, registry.MAC{0x52, 0x54, 0, 0, 0, 1}); err != nil || reply.Status != "committed" {
		t.Errorf("%+v, %v", reply, err)
	}
	for want, cfg := range map[string]config{
		"no such file":          {Rqlite: "https://db", RqliteCA: cert + ".not"},
		"both its file and its": {Rqlite: "https://db", RqliteCert: cert},
		"of no use without":     {Rqlite: "http://db", RqliteCA: cert},
	} {
		if _, err := openDatabase(t.Context(), databaseConfig{config: cfg}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// TestDatabaseStandsStill stops a real rqlite so that it takes connections and
// says nothing.
func TestDatabaseStandsStill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	db := newRqlited(t)
	db.start(t)
	cfg := testConfig(t)
	cfg.Rqlite = db.address
	r := start(t, cfg)
	if err := db.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.await(t, "degraded")
	acked, quickest := map[registry.MAC]string{}, time.Hour
	for n := range byte(3) {
		mac, from := registry.MAC{0x52, 0x54, 0, 0, 0, n}, time.Now()
		reply, err := enlist(r.url, mac)
		if err != nil || reply.Status != "journaled" {
			t.Errorf("%+v, %v", reply, err)
		}
		acked[mac], quickest = reply.ID, min(quickest, time.Since(from))
	}
	if quickest > 4*time.Second { // who asks the database waits for 5, and a busy host may stand still once
		t.Errorf("each registration took %s or longer", quickest)
	}
	if err := db.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.await(t, "ready")
	r.wantAll(t, "", acked)
}

// TestRemoteDatabaseIsRestored restores an rqlite where it runs, to what it was before:
// nobody sees it away, and event numbers are given again.
func TestRemoteDatabaseIsRestored(t *testing.T) {
	t.Parallel()
	db := newRqlited(t)
	db.start(t)
	cfg := testConfig(t)
	cfg.Rqlite = db.address
	r := start(t, cfg)
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	admin := r.admin(t)
	kept, err := enlist(r.url, registry.MAC{0x52, 0x54, 0, 0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	backup := db.call(t, http.MethodGet, "/db/backup", nil)
	for n := range byte(20) {
		if _, err := enlist(r.url, registry.MAC{0x52, 0x54, 0, 0, 1, n}); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var once sync.Once
	var loading sync.WaitGroup
	defer loading.Wait()
	told := map[registry.Kind]bool{} // of the last machine
	rewound := errors.New("the whole story was told")
	restored, later := false, ""
	err = admin.Events(ctx, 0, func(e api.Event) error {
		switch {
		case e.Kind == api.Resync:
			restored = true
			reply, err := enlist(r.url, registry.MAC{0x52, 0x54, 0, 0, 2, 1})
			later = reply.ID
			return err
		case restored && e.Machine == later:
			return rewound
		case !restored && e.MAC == (registry.MAC{0x52, 0x54, 0, 0, 1, 19}):
			told[e.Kind] = true
			if told[registry.MachineRegistered] && told[registry.MachineBoot] { // no step of a boot is written later
				once.Do(func() {
					loading.Go(func() { db.call(t, http.MethodPost, "/db/load", backup) })
				})
			}
		}
		return nil
	})
	if !errors.Is(err, rewound) {
		t.Fatalf("the stream: %v; told of the restored database: %t", err, restored)
	}
	if ids := r.ids(t, admin.Token); len(ids) != 2 || !ids[kept.ID] || !ids[later] {
		t.Errorf("afterwards there are %v, want %s and %s", ids, kept.ID, later)
	}
}

// call asks rqlite itself.
func (q *rqlited) call(t *testing.T, method, path string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+q.address+path, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %s %.200s %v", method, path, resp.Status, answer, err)
	}
	return answer
}
