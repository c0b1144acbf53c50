package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/lastknown"
)

// envHost tells this binary to be a host of a cluster: its command line.
const envHost = "DRAGONFLY_TEST_HOST"

// TestClusterHost is not a test but the child of those of clusters: an appliance
// in a process of its own, that can be killed.
func TestClusterHost(t *testing.T) {
	line := os.Getenv(envHost)
	if line == "" {
		return
	}
	for _, variable := range os.Environ() { // none of a test is a setting
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, envPrefix) {
			os.Unsetenv(name)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, strings.Fields(line), os.Stdout, os.Stderr))
}

// host is one host of a cluster, on a loopback address of its own.
type host struct {
	rig
	address string // of its cluster port
	log     *os.File
	cmd     *exec.Cmd
}

// newHost is a host that knows nothing yet.
func newHost(t *testing.T, ip string) *host {
	t.Helper()
	cfg := testConfig(t)
	cfg.Host, cfg.Port = ip, freePortOf(t, ip)
	h := &host{rig: rig{cfg: cfg, url: fmt.Sprintf("http://%s:%d", ip, cfg.Port)}, address: fmt.Sprintf("%s:%d", ip, freePortOf(t, ip))}
	log, err := os.Create(filepath.Join(cfg.DataDir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	h.log = log
	t.Cleanup(func() {
		h.kill(t)
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of %s:\n%s", ip, text[max(0, len(text)-8000):])
		}
		log.Close()
	})
	return h
}

// begin starts the service, without waiting for it.
func (h *host) begin(t *testing.T, more ...string) {
	t.Helper()
	args := append([]string{"serve", "--host", h.cfg.Host, "--port", strconv.Itoa(h.cfg.Port), "--data-dir", h.cfg.DataDir,
		"--image-dir", h.cfg.ImageDir, "--cluster-listen", h.address}, more...)
	h.cmd = exec.Command(os.Args[0], "-test.run=^TestClusterHost$")
	h.cmd.Env = append(os.Environ(), envHost+"="+strings.Join(args, " "))
	h.cmd.Stdout, h.cmd.Stderr = h.log, h.log
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// kill ends the process without a word.
func (h *host) kill(t *testing.T) {
	t.Helper()
	if h.cmd == nil {
		return
	}
	if err := h.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	_ = h.cmd.Wait() // it was killed
	h.cmd = nil
}

// newCluster is a cluster of hosts on 127.0.0.2 and the addresses after it, with an
// administrator's token.
func newCluster(t *testing.T, size int) (hosts []*host, token string) {
	t.Helper()
	for n := range size {
		hosts = append(hosts, newHost(t, fmt.Sprintf("127.0.0.%d", n+2)))
	}
	first := hosts[0]
	invitation := first.run(t, "", "cluster", "init", "--advertise", first.address)
	first.begin(t)
	first.await(t, "ready")
	first.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	token = first.admin(t).Token
	for n, h := range hosts[1:] {
		if n > 0 {
			invitation = first.run(t, "", "cluster", "token")
		}
		h.run(t, "", "cluster", "join", strings.TrimSpace(invitation), "--advertise", h.address)
		h.begin(t)
		h.await(t, "ready")
		first.awaitMembers(t, n+2)
	}
	return hosts, token
}

// members asks a host for the cluster.
func (h *host) members(t *testing.T) (status api.ClusterStatus) {
	t.Helper()
	code, out, stderr := h.cli(t, "", "cluster", "status", "-o", "json")
	if code != 0 {
		t.Fatalf("status: %s", stderr)
	}
	if err := json.Unmarshal([]byte(out), &status.Members); err != nil {
		t.Fatal(err)
	}
	return status
}

// awaitMembers waits until so many members vote and can be reached.
func (h *host) awaitMembers(t *testing.T, want int) {
	t.Helper()
	var status api.ClusterStatus
	for range 2000 {
		status = h.members(t)
		voters, leaders := 0, 0
		for _, m := range status.Members {
			if m.Voter && m.Reachable {
				voters++
			}
			if m.Leader {
				leaders++
			}
		}
		if voters == want && leaders == 1 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the cluster never has %d voters: %+v", want, status)
}

// awaitLastKnown waits until a machine is in the last known state that a host has on its
// disk.
func (h *host) awaitLastKnown(t *testing.T, id string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lastknown.db")
	err := waitFor(t.Context(), func() bool {
		now, err := os.ReadFile(filepath.Join(h.cfg.DataDir, "lastknown.db"))
		if err := errors.Join(err, os.WriteFile(file, now, 0o600)); err != nil {
			t.Fatal(err)
		}
		known, err := lastknown.Open(file, slog.New(slog.DiscardHandler))
		if err != nil { // it was being written
			return false
		}
		defer known.Close()
		machines, err := known.Machines(t.Context(), registry.Query{IDs: []string{id}})
		return err == nil && len(machines) == 1
	})
	if err != nil {
		t.Fatalf("the last known state of %s never has %s", h.cfg.Host, id)
	}
}

// leader is the host that leads, as one of those that run sees it.
func leader(t *testing.T, hosts []*host) (at int) {
	t.Helper()
	for range 2000 {
		for _, h := range hosts {
			if h.cmd == nil {
				continue
			}
			for _, m := range h.members(t).Members {
				for i, other := range hosts {
					if m.Leader && m.Address == other.address && other.cmd != nil {
						return i
					}
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("there is no leader")
	return 0
}

func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	hosts, token := newCluster(t, 3)
	for n, h := range hosts {
		reply := h.register(t, registry.MAC{0x52, 0x54, 0, 0, 9, byte(n)})
		for _, other := range hosts {
			if code, body := other.ask(t, token, "/api/v1/machines/"+reply.ID); code != http.StatusOK {
				t.Errorf("registered at %s, asked at %s: %d %s", h.cfg.Host, other.cfg.Host, code, body)
			}
			agent := &api.Client{Base: other.url, Token: reply.Token}
			if next, err := agent.Next(t.Context(), 0); err != nil || next.Name != reply.Name {
				t.Errorf("the machine's token of %s at %s: %+v, %v", h.cfg.Host, other.cfg.Host, next, err)
			}
		}
	}
	var out string
	err := waitFor(t.Context(), func() bool { // a busy host may have to elect another leader
		_, out, _ = hosts[1].cli(t, "", "cluster", "status")
		return strings.Count(out, "follower") == 2 && strings.Count(out, "leader") == 1
	})
	if err != nil {
		t.Errorf("status:\n%s", out)
	}
	code, body := 0, ""
	err = waitFor(t.Context(), func() bool {
		code, body = hosts[1].ask(t, token, "/metrics")
		return code == http.StatusOK && strings.Contains(body, "dragonfly_cluster_members_reachable 3")
	})
	if err != nil {
		t.Errorf("metrics of a member: %d", code)
	}
}

func TestClusterPortRefusesStrangers(t *testing.T) {
	t.Parallel()
	hosts, _ := newCluster(t, 1)
	plain, err := net.Dial("tcp", hosts[0].address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := plain.Write([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(plain); err == nil && len(got) > 7 { // at most a TLS alert
		t.Errorf("a stranger without TLS got %q", got)
	}
	if conn, err := tls.Dial("tcp", hosts[0].address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dragonfly-member/1"}}); err == nil {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a stranger without a certificate is heard")
		}
		conn.Close()
	}
	stranger := newHost(t, "127.0.0.3")
	for _, bad := range []string{"nonsense", "dragonfly-join/" + hosts[0].address + "/" + strings.Repeat("0", 64) + "/SECRET"} {
		if code, _, stderr := stranger.cli(t, "", "cluster", "join", bad, "--advertise", stranger.address); code == 0 {
			t.Errorf("joined with %s: %s", bad, stderr)
		}
	}
}

// envLeaderLosses is how many leaders [TestClusterLosesItsLeader] takes away; one
// in each way by default.
const envLeaderLosses = "DRAGONFLY_TEST_LEADER_LOSSES"

// ways are how a host goes away.
var ways = []struct {
	name string
	lose func(t *testing.T, h *host)
}{
	{"killed", func(t *testing.T, h *host) { h.kill(t) }},
	{"frozen", func(t *testing.T, h *host) { h.signal(t, syscall.SIGSTOP) }},
	{"stopped", func(t *testing.T, h *host) { h.signal(t, syscall.SIGTERM) }},
}

func (h *host) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := h.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestClusterLosesItsLeader takes the leader away under a load of registrations at
// the others, and looks for every machine that was acknowledged.
func TestClusterLosesItsLeader(t *testing.T) {
	t.Parallel()
	rounds := len(ways)
	if text := os.Getenv(envLeaderLosses); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	hosts, token := newCluster(t, 3)
	acked, journaled, gaps := map[registry.MAC]string{}, 0, map[string][]time.Duration{}
	for round := range rounds {
		way := ways[round%len(ways)]
		gone := leader(t, hosts)
		var loads []*racks
		for n, h := range hosts {
			if n != gone {
				loads = append(loads, loadRacks(h.url, byte(3*round+n)))
			}
		}
		pulse := beat(hosts[(gone+1)%3].url, byte(round))
		time.Sleep(time.Second)
		way.lose(t, hosts[gone])
		time.Sleep(2500 * time.Millisecond)
		gaps[way.name] = append(gaps[way.name], pulse.end())
		for _, l := range loads {
			l.end(t)
			maps.Copy(acked, l.acked)
			journaled += l.journaled
		}
		hosts[gone].kill(t)
		hosts[gone].begin(t)
		for _, h := range hosts {
			h.await(t, "ready")
		}
		hosts[gone].awaitMembers(t, 3)
		hosts[gone].wantListed(t, token, acked)
		if t.Failed() {
			t.Fatalf("round %d: the leader was %s", round, way.name)
		}
	}
	t.Logf("%d leaders lost: %d registrations acknowledged, all found; %d went through the journal", rounds, len(acked), journaled)
	for way, all := range gaps {
		slices.Sort(all)
		t.Logf("leader %s: writes stopped for %s in the middle, %s at worst of %d", way, all[len(all)/2], all[len(all)-1], len(all))
		// 2 s is promised; a busy host is given more, unless it is measured.
		limit := 15 * time.Second
		if os.Getenv(envLeaderLosses) != "" {
			limit = 2 * time.Second
		}
		if worst := all[len(all)-1]; worst > limit {
			t.Errorf("leader %s: writes stopped for %s", way, worst)
		}
	}
}

// TestClusterWithoutQuorum leaves one of three hosts alone, starts it anew, and
// brings the others back.
func TestClusterWithoutQuorum(t *testing.T) {
	t.Parallel()
	hosts, token := newCluster(t, 3)
	last := hosts[leader(t, hosts)]
	before := last.register(t, registry.MAC{0x52, 0x54, 0, 0, 8, 1})
	last.await(t, "ready")
	last.awaitLastKnown(t, before.ID)
	for _, h := range hosts {
		if h != last {
			h.kill(t)
		}
	}
	last.await(t, "degraded")
	during := loadRacks(last.url, 1)
	time.Sleep(time.Second)
	during.awaitJournaled(t)
	during.end(t)
	last.kill(t)

	last.begin(t)
	last.await(t, "degraded")
	if code, body := last.ask(t, token, "/api/v1/machines?page_size=1"); code != http.StatusOK || !strings.Contains(body, `"stale":true`) {
		t.Errorf("the list without a majority: %d %s", code, body)
	}
	if code, body := last.ask(t, token, "/api/v1/machines/"+before.ID); code != http.StatusOK {
		t.Errorf("a machine without a majority: %d %s", code, body)
	}
	if _, out, _ := last.cli(t, "", "cluster", "status"); strings.Count(out, "away: ") != 2 {
		t.Errorf("status without a majority:\n%s", out)
	}
	if code, _, stderr := last.cli(t, "", "cluster", "remove", hosts[0].address, "--yes"); code == 0 {
		t.Errorf("a member was removed without a majority: %s", stderr)
	}
	after := loadRacks(last.url, 2)
	time.Sleep(time.Second)
	after.awaitJournaled(t)
	after.end(t)
	if during.journaled == 0 || after.journaled == 0 || after.journaled != len(after.acked) {
		t.Errorf("%d and %d of %d registrations were journaled", during.journaled, after.journaled, len(after.acked))
	}
	for _, h := range hosts {
		if h != last {
			h.begin(t)
		}
	}
	last.await(t, "ready") // its journal is applied
	for _, h := range hosts {
		h.await(t, "ready")
		h.wantListed(t, token, during.acked)
		h.wantListed(t, token, after.acked)
	}
}

// TestRestartedFollowerIsNeverEmpty asks a follower for its machines from the
// moment on at which it answers.
func TestRestartedFollowerIsNeverEmpty(t *testing.T) {
	t.Parallel()
	hosts, token := newCluster(t, 3)
	reply := hosts[0].register(t, registry.MAC{0x52, 0x54, 0, 0, 8, 1})
	follower := hosts[(leader(t, hosts)+1)%3]
	follower.awaitLastKnown(t, reply.ID) // which it shows while it has not found the others
	follower.kill(t)
	time.Sleep(3 * time.Second) // the leader calls less and less often
	follower.begin(t)
	answers := 0
	// Eight seconds are what the gap was that this looks for; a busy host answers seldom.
	for from := time.Now(); time.Since(from) < 8*time.Second || answers < 100 && time.Since(from) < time.Minute; time.Sleep(5 * time.Millisecond) {
		client := &api.Client{Base: follower.url, Token: token}
		all, err := client.AllMachines(t.Context(), api.Selection{})
		if err != nil {
			continue
		}
		if answers++; len(all) != 1 {
			t.Fatalf("answer %d has %d machines", answers, len(all))
		}
	}
	if answers < 100 {
		t.Errorf("it gave only %d answers", answers)
	}
}

// TestClusterRecovers goes on with one host of two.
func TestClusterRecovers(t *testing.T) {
	t.Parallel()
	hosts, token := newCluster(t, 2)
	kept := hosts[1]
	reply := kept.register(t, registry.MAC{0x52, 0x54, 0, 0, 8, 1})
	for _, h := range hosts {
		h.kill(t)
	}
	kept.run(t, "", "cluster", "recover", "--yes")
	kept.begin(t)
	kept.await(t, "ready")
	kept.awaitMembers(t, 1)
	if code, body := kept.ask(t, token, "/api/v1/machines/"+reply.ID); code != http.StatusOK {
		t.Errorf("after the recovery: %d %s", code, body)
	}
	kept.register(t, registry.MAC{0x52, 0x54, 0, 0, 8, 2})
}

// TestWhoMayJoin joins with tokens and hosts that are not fit for it.
func TestWhoMayJoin(t *testing.T) {
	t.Parallel()
	hosts, token := newCluster(t, 1)
	alone := newHost(t, "127.0.0.3")
	alone.begin(t)
	alone.await(t, "ready")
	invitation := strings.TrimSpace(hosts[0].run(t, "", "cluster", "token"))
	join := []string{"cluster", "join", invitation, "--advertise", alone.address}
	if code, _, stderr := alone.cli(t, "", join...); code == 0 || !strings.Contains(stderr, "stop it first") {
		t.Errorf("join while the service runs: %d %s", code, stderr)
	}
	alone.register(t, registry.MAC{0x52, 0x54, 0, 0, 8, 1})
	alone.kill(t)
	if code, _, stderr := alone.cli(t, "", join...); code == 0 || !strings.Contains(stderr, "1 machine of its own") {
		t.Errorf("join with machines: %d %s", code, stderr)
	}
	other := newHost(t, "127.0.0.4")
	other.begin(t, "--join", invitation, "--cluster-advertise", other.address) // the token is still good
	other.await(t, "ready")
	hosts[0].awaitMembers(t, 2)
	third := newHost(t, "127.0.0.5")
	if code, _, stderr := third.cli(t, "", "cluster", "join", invitation, "--advertise", third.address); code == 0 || !strings.Contains(stderr, "wrong, used or older") {
		t.Errorf("a used token: %d %s", code, stderr)
	}
	taken := strings.TrimSpace(other.run(t, "", "cluster", "token"))
	if code, _, stderr := third.cli(t, "", "cluster", "join", taken, "--advertise", hosts[0].address); code == 0 || !strings.Contains(stderr, "is the address of the member") {
		t.Errorf("an address that is taken: %d %s", code, stderr)
	}
	third.run(t, "", "cluster", "join", taken, "--advertise", third.address) // that of any member is as good
	third.begin(t)
	third.await(t, "ready")
	hosts[0].awaitMembers(t, 3)
	hosts[0].run(t, "", "cluster", "remove", third.address, "--yes")
	hosts[0].awaitMembers(t, 2)
	if code, body := hosts[0].ask(t, token, "/api/v1/audit"); code != http.StatusOK || !strings.Contains(body, `"cluster.remove"`) || !strings.Contains(body, `"cluster.invite"`) {
		t.Errorf("audit: %d %s", code, body)
	}
}

// wantListed checks that each acknowledged machine is in the list, once.
func (h *host) wantListed(t *testing.T, token string, acked map[registry.MAC]string) {
	t.Helper()
	client := &api.Client{Base: h.url, Token: token}
	all, err := client.AllMachines(t.Context(), api.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	have := map[registry.MAC]string{}
	for _, m := range all {
		for _, mac := range m.MACs {
			if other, twice := have[mac]; twice {
				t.Errorf("%s is of %s and %s", mac, other, m.ID)
			}
			have[mac] = m.ID
		}
	}
	missing := 0
	for mac, id := range acked {
		if have[mac] != id {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d acknowledged machines are not there as they were", missing, len(acked))
	}
}

// pulse writes to the database of one server, again and again, and notes the
// longest time without success.
type pulse struct {
	stop    chan struct{}
	all     sync.WaitGroup
	longest time.Duration
}

func beat(url string, series byte) *pulse {
	p := &pulse{stop: make(chan struct{})}
	p.all.Go(func() {
		last := time.Now()
		for n := 0; ; n++ {
			select {
			case <-p.stop:
				p.longest = max(p.longest, time.Since(last))
				return
			default:
			}
			reply, err := enlist(url, registry.MAC{0x56, 0x54, 1, series, byte(n >> 8), byte(n)})
			if err == nil && reply.Status != "journaled" {
				p.longest = max(p.longest, time.Since(last))
				last = time.Now()
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	return p
}

// end is the longest time without a write.
func (p *pulse) end() time.Duration {
	close(p.stop)
	p.all.Wait()
	return p.longest.Round(time.Millisecond)
}
