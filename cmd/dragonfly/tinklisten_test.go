package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"dragonfly/images/tink"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

// newTinkOffice is an office where Tink server's protocol is served, and a client of it.
func newTinkOffice(t *testing.T) (*office, *tink.Client, string) {
	t.Helper()
	cfg := testConfig(t)
	cfg.TinkListen = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	r := start(t, cfg)
	t.Cleanup(func() { r.end(t) })
	return officeOf(t, r), tink.NewClient(tink.Server{Authority: cfg.TinkListen}), cfg.TinkListen
}

// A machine that is somebody else's worker is installed by what Tink server would say,
// without a claim of its agent, and phones home.
func TestInstalledByTinkProtocol(t *testing.T) {
	f, worker, _ := newTinkOffice(t)
	if _, err := worker.GetAction(t.Context(), f.mac, registry.Hardware{}); tink.CodeOf(err) != tink.NotFound {
		t.Errorf("without a deployment: %v", err)
	}
	d := f.ask(t, registry.FirstBootCloudInit)
	home, steps := "", 0
	for {
		step, err := worker.GetAction(t.Context(), f.mac, registry.Hardware{})
		if tink.CodeOf(err) == tink.NotFound {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if steps++; strings.Join(step.Volumes, " ") != "/dev:/dev /dev/console:/dev/console /lib/firmware:/lib/firmware:ro" || step.Timeout == 0 {
			t.Errorf("step %+v", step)
		}
		if said := between(strings.Join(step.Environment, "\n"), "url: ", "\n"); strings.Contains(said, "phone-home") {
			home = said
		}
		for _, state := range []tink.State{tink.Running, tink.Success} {
			if err := worker.ReportActionStatus(t.Context(), tink.Status{Workflow: step.Workflow, Agent: step.Agent, Task: step.Task, Action: step.ID, Name: step.Name, State: state}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if shown := f.becomes(t, d.ID, registry.DeploymentVerifying); steps != len(shown.Actions) || !shown.Wrote {
		t.Errorf("%d steps of %+v", steps, shown)
	}
	if _, err := f.agent.Claim(t.Context(), "boot-0001"); api.Status(err) != http.StatusUnauthorized && api.Status(err) != http.StatusConflict {
		t.Errorf("the agent of an earlier boot claims: %v", err)
	}
	if status, body := f.post(t, home, url.Values{"hostname": {f.m.Name}}); status != http.StatusOK {
		t.Fatalf("phone home: %d %s", status, body)
	}
	f.becomes(t, d.ID, registry.DeploymentSucceeded)
	f.state(t, registry.Installed, "")
	_, metrics := f.get(t, "/metrics")
	if want := fmt.Sprintf(`dragonfly_tink_calls_total{code="ok",method="GetAction"} %d`, steps); !strings.Contains(metrics, want) {
		t.Errorf("the metrics lack %s", want)
	}
}

// What is no gRPC, or too much of it, is turned away, and the next worker is served.
func TestTinkProtocolHostile(t *testing.T) {
	_, worker, authority := newTinkOffice(t)
	for name, bytes := range map[string]string{
		"HTTP/1.1":                 "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"noise":                    strings.Repeat("\x00\xff\x17", 4096),
		"half a preface and noise": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 64<<10),
	} {
		conn, err := net.Dial("tcp", authority)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, bytes) // it may be closed by then
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection stays open", name)
		}
		conn.Close()
	}
	if _, err := worker.GetAction(t.Context(), strings.Repeat("x", 300<<10), registry.Hardware{}); tink.CodeOf(err) != tink.ResourceExhausted {
		t.Errorf("300 KiB: %v", err)
	}
	code, calls := tink.OK, 0
	for ; calls < 4*workerCalls && code != tink.ResourceExhausted; calls++ { // more than one minute may be begun
		_, err := worker.GetAction(t.Context(), "52:54:00:00:01:77", registry.Hardware{})
		code = tink.CodeOf(err)
	}
	if code != tink.ResourceExhausted || calls < workerCalls/2 {
		t.Errorf("after %d calls: %s", calls, code)
	}
}

// One address has a few connections, whatever others have.
func TestTinkConnectionsAreBounded(t *testing.T) {
	crowd := newTinkListener(&appliance{}).crowd
	one, other := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")
	for range workerConns {
		if !crowd.enter(one) {
			t.Fatal("a connection within the bounds is refused")
		}
	}
	if crowd.enter(one) || !crowd.enter(other) {
		t.Error("one address takes what is another's")
	}
}

func TestTinkListenRefuses(t *testing.T) {
	for _, wrong := range []string{"42113", "10.0.0.2", "10.0.0.2:", "10.0.0.2:http", ":70000", "localhost:42113", "http://10.0.0.2:42113"} {
		if _, err := load(t, []string{"--tink-listen", wrong}, ""); err == nil || !strings.Contains(err.Error(), "such as 10.0.0.2:42113") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	for _, right := range []string{":42113", "10.0.0.2:42113", "[::]:42113", "127.0.0.1:0"} {
		if _, err := load(t, nil, "tink-listen: '"+right+"'\n"); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
}
