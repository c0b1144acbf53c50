package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
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

func freePortOf(t *testing.T, ip string) int {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
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
	for range 300 {
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

// leader is the host that leads, as one of those that run sees it.
func leader(t *testing.T, hosts []*host) (at int) {
	t.Helper()
	for range 100 {
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
	if _, out, _ := hosts[1].cli(t, "", "cluster", "status"); strings.Count(out, "follower") != 2 || strings.Count(out, "leader") != 1 {
		t.Errorf("status:\n%s", out)
	}
	if code, body := hosts[1].ask(t, token, "/metrics"); code != http.StatusOK || !strings.Contains(body, "dragonfly_cluster_members_reachable 3") {
		t.Errorf("metrics of a member: %d", code)
	}
}

func TestClusterPortRefusesStrangers(t *testing.T) {
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

// TestClusterLosesItsLeader kills the leader under a load of registrations at the
// others, as often as the environment says, and looks for every machine that was
// acknowledged.
func TestClusterLosesItsLeader(t *testing.T) {
	rounds := 2
	if text := os.Getenv(envLeaderKills); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	hosts, token := newCluster(t, 3)
	total, journaled := 0, 0
	var gaps []time.Duration
	for round := range rounds {
		dead := leader(t, hosts)
		var loads []*racks
		for n, h := range hosts {
			if n != dead {
				loads = append(loads, loadRacks(h.url, byte(16+3*round+n)))
			}
		}
		pulse := beat(hosts[(dead+1)%3].url)
		time.Sleep(time.Second)
		hosts[dead].kill(t)
		time.Sleep(2500 * time.Millisecond)
		gaps = append(gaps, pulse.end())
		for _, l := range loads {
			l.end(t)
			total += len(l.acked)
			journaled += l.journaled
		}
		hosts[dead].begin(t)
		for _, h := range hosts {
			h.await(t, "ready")
		}
		hosts[dead].awaitMembers(t, 3)
		for _, l := range loads {
			hosts[dead].wantListed(t, token, l.acked)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	worst := time.Duration(0)
	for _, gap := range gaps {
		worst = max(worst, gap)
	}
	if worst > 2*time.Second {
		t.Errorf("writes stopped for %s", worst)
	}
	t.Logf("%d leaders killed: %d registrations acknowledged, all found; %d of them went through the journal; writes stopped for %s at worst, each time %v", rounds, total, journaled, worst, gaps)
}

// envLeaderKills is how many leaders [TestClusterLosesItsLeader] kills; 2 by
// default.
const envLeaderKills = "DRAGONFLY_TEST_LEADER_KILLS"

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

func beat(url string) *pulse {
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
			reply, err := enlist(url, registry.MAC{0x52, 0x54, 1, byte(n >> 16), byte(n >> 8), byte(n)})
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
