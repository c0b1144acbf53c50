package prototest

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinkerbell/tinkerbell/pkg/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	pb "google.golang.org/protobuf/proto"

	"dragonfly/images/tink"
	"dragonfly/images/tink/listen"
	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// appliance is Dragonfly in the place of Tink server, with one machine, which is where
// the loopback address is.
type appliance struct {
	*registry.Registry
	store     *registrytest.MemoryStore
	authority string
	m         registry.Machine
	stop      func()
}

func newAppliance(t *testing.T) *appliance {
	t.Helper()
	a := &appliance{store: registrytest.Memory(), authority: "127.0.0.3:0"} // of which nobody takes the port over a restart
	a.start(t)
	t.Cleanup(func() { a.stop() })
	mac := registry.MAC{0x52, 0x54, 0, 0, 0, 1}
	m, _, err := a.Register(t.Context(), registry.Registration{MAC: mac, MACs: []registry.MAC{mac}, Address: netip.MustParseAddr("127.0.0.1"), Hardware: registry.Hardware{
		System: registry.System{Serial: "SN-1"}, CPU: registry.CPU{Arch: "amd64"}, Memory: registry.Memory{Bytes: 8 << 30},
		Disks: []registry.Disk{{Name: "sda", Serial: "S1", ByID: "/dev/disk/by-id/ata-S1", Bytes: 8e9, Contents: registry.Blank}}}})
	if err != nil {
		t.Fatal(err)
	}
	a.m = m
	return a
}

// plain seals nothing.
type plain struct{}

func (plain) Seal(_, secret string) string          { return secret }
func (plain) Open(_, sealed string) (string, error) { return sealed, nil }

// tools has an operating system of two actions, one with a secret.
func tools() registry.Tools {
	actions := []registry.RecipeAction{
		{Name: "write", Image: "quay.io/tinkerbell/actions/image2disk:v1", Timeout: 600, Environment: map[string]string{"IMG_URL": "http://x/i.gz", "DEST_DISK": "/dev/sda"}, Volumes: []string{"/dev:/dev"}},
		{Name: "restart", Image: "example.org/waitdaemon:v1", Timeout: 60, Command: []string{"reboot"}, Environment: map[string]string{"SECRET": "swordfish"}, PID: "host", Network: "host"}}
	return registry.Tools{Sealer: plain{}, Limits: registry.DeployLimits{Wait: time.Hour, Verify: time.Hour},
		Catalogue: []registry.OS{{ID: "linux", Name: "Linux", Template: "image", FirstBoot: registry.FirstBootCloudInit, Images: map[string]registry.OSImage{"amd64": {URL: "http://x/i.gz", Format: "raw.gz"}}}},
		Templates: map[string]string{"image": "image"},
		Render: func(string, registry.Machine, map[string]string) (registry.Rendered, error) {
			return registry.Rendered{Text: "text", Actions: actions}, nil
		},
		Server: func(registry.Machine) (string, error) { return "http://10.0.0.2:3000", nil }}
}

// start begins to serve what the store has, at the address of before.
func (a *appliance) start(t *testing.T) {
	t.Helper()
	r, err := registry.New(t.Context(), a.store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.Equip(tools())
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.Run(ctx) }()
	l, err := net.Listen("tcp", a.authority)
	if err != nil {
		t.Fatal(err)
	}
	a.Registry, a.authority = r, l.Addr().String()
	server := tink.NewServer(&tink.Handler{Service: listen.New(r, slog.New(slog.DiscardHandler))})
	go func() { _ = server.Serve(l) }()
	a.stop = func() {
		_ = server.Close()
		cancel()
		<-ran
	}
}

func (a *appliance) restart(t *testing.T) {
	t.Helper()
	a.stop()
	a.start(t)
}

func (a *appliance) deploy(t *testing.T) registry.Deployment {
	t.Helper()
	plan, err := a.Deploy(t.Context(), a.m.ID, registry.DeployRequest{OS: "linux"}, registry.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Deployment
}

func (a *appliance) is(t *testing.T, id string, want registry.DeploymentState, reason string) registry.Deployment {
	t.Helper()
	d, err := a.Deployment(t.Context(), id)
	if err != nil || d.State != want || !strings.Contains(d.Reason, reason) {
		t.Fatalf("deployment is %s: %q, %v; want %s: %q", d.State, d.Reason, err, want, reason)
	}
	return d
}

// theirs is a worker as Tinkerbell's agent is one.
type theirs struct {
	proto.WorkflowServiceClient
	id string
}

// worker is one at an address of this host.
func (a *appliance) worker(t *testing.T, addr, id string) theirs {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	conn, err := grpc.NewClient(a.authority, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", to) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return theirs{proto.NewWorkflowServiceClient(conn), id}
}

// ask asks until it is answered.
func (w theirs) ask(t *testing.T) (*proto.ActionResponse, error) {
	t.Helper()
	for {
		a, err := w.GetAction(t.Context(), &proto.ActionRequest{AgentId: ptr(w.id), AgentAttributes: &proto.AgentAttributes{}})
		if status.Code(err) != codes.Unavailable {
			return a, err
		}
	}
}

// say reports until it is answered.
func (w theirs) say(t *testing.T, a *proto.ActionResponse, state proto.ActionStatusRequest_StateType) error {
	t.Helper()
	text := "action completed"
	if state == proto.ActionStatusRequest_RUNNING {
		text = "running action"
	}
	for {
		_, err := w.ReportActionStatus(t.Context(), &proto.ActionStatusRequest{WorkflowId: a.WorkflowId, AgentId: a.AgentId, TaskId: a.TaskId, ActionId: a.ActionId,
			ActionName: a.Name, ActionState: ptr(state), Message: &proto.ActionMessage{Message: ptr(text)}})
		if status.Code(err) != codes.Unavailable {
			return err
		}
	}
}

// work asks and reports as Tinkerbell's agent does, until there is nothing to do. How an
// action ends is what ends says, success where it says nothing; between is called while
// an action runs.
func (w theirs) work(t *testing.T, ends map[string]proto.ActionStatusRequest_StateType, between func()) (did []string) {
	t.Helper()
	for {
		a, err := w.ask(t)
		if status.Code(err) == codes.NotFound {
			return did
		}
		if err != nil {
			t.Fatal(err)
		}
		end, said := ends[a.GetName()]
		if !said {
			end = proto.ActionStatusRequest_SUCCESS
		}
		for _, state := range []proto.ActionStatusRequest_StateType{proto.ActionStatusRequest_RUNNING, end} {
			if err := w.say(t, a, state); err != nil {
				t.Fatalf("%s %s: %v", a.GetName(), state, err)
			}
			if state == proto.ActionStatusRequest_RUNNING {
				between()
			}
		}
		did = append(did, a.GetName())
	}
}

func nothing() {}

func TestTheirWorkerInstalls(t *testing.T) {
	a := newAppliance(t)
	w := a.worker(t, "127.0.0.1", a.m.BootMAC().String())
	if did := w.work(t, nil, nothing); len(did) > 0 {
		t.Errorf("without a deployment it did %q", did)
	}
	d := a.deploy(t)
	first, err := w.ask(t)
	if err != nil || first.GetAgentId() != w.id || first.GetImage() != "quay.io/tinkerbell/actions/image2disk:v1" || first.GetTimeout() != 600 ||
		!slices.Equal(first.GetEnvironment(), []string{"DEST_DISK=/dev/sda", "IMG_URL=http://x/i.gz"}) || !slices.Equal(first.GetVolumes(), []string{"/dev:/dev"}) {
		t.Fatalf("the first action is %v, %v", first, err)
	}
	if did := w.work(t, nil, nothing); !slices.Equal(did, []string{"write", "restart"}) {
		t.Errorf("it did %q", did)
	}
	got := a.is(t, d.ID, registry.DeploymentVerifying, "")
	if !got.Wrote || got.Attempt != 1 || got.Actions[1].State != registry.ActionSucceeded {
		t.Errorf("%+v", got)
	}
	if did := w.work(t, nil, nothing); len(did) > 0 {
		t.Errorf("again it did %q", did)
	}
}

func TestTheirWorkerFails(t *testing.T) {
	for end, reason := range map[proto.ActionStatusRequest_StateType]string{
		proto.ActionStatusRequest_FAILED:  `action "restart" failed: the worker does not say why: what it printed is on the machine`,
		proto.ActionStatusRequest_TIMEOUT: `action "restart" failed: it was not done in time`,
	} {
		a := newAppliance(t)
		d := a.deploy(t)
		w := a.worker(t, "127.0.0.1", a.m.ID)
		if did := w.work(t, map[string]proto.ActionStatusRequest_StateType{"restart": end}, nothing); !slices.Equal(did, []string{"write", "restart"}) {
			t.Errorf("%s: it did %q", end, did)
		}
		a.is(t, d.ID, registry.DeploymentFailed, reason)
	}
}

// The server is away while an action runs, and knows what it is when it is back.
func TestTheirWorkerOutlastsUs(t *testing.T) {
	a := newAppliance(t)
	d := a.deploy(t)
	w := a.worker(t, "127.0.0.1", a.m.BootMAC().String())
	before, err := w.ask(t)
	if err != nil {
		t.Fatal(err)
	}
	a.restart(t)
	if again, err := w.ask(t); err != nil || again.String() != before.String() {
		t.Errorf("after a restart: %v, %v", again, err)
	}
	if did := w.work(t, nil, func() { a.restart(t) }); !slices.Equal(did, []string{"write", "restart"}) {
		t.Errorf("it did %q", did)
	}
	if got := a.is(t, d.ID, registry.DeploymentVerifying, ""); got.Attempt != 1 {
		t.Errorf("%+v", got)
	}
}

// Whoever is not the machine is told what everybody is for whom there is nothing, and
// gets no secret.
func TestTheirForeignWorkers(t *testing.T) {
	a := newAppliance(t)
	idle := a.worker(t, "127.0.0.1", a.m.BootMAC().String())
	_, want := idle.ask(t)
	d := a.deploy(t)
	for name, w := range map[string]theirs{
		"another address": a.worker(t, "127.0.0.2", a.m.BootMAC().String()),
		"by the ID":       a.worker(t, "127.0.0.2", a.m.ID),
		"unknown":         a.worker(t, "127.0.0.1", "52:54:00:00:00:02"),
		"without an ID":   a.worker(t, "127.0.0.1", ""),
		"nonsense":        a.worker(t, "127.0.0.1", strings.Repeat("x", 100<<10)),
	} {
		for range 2 {
			if got, err := w.ask(t); got != nil || status.Code(err) != codes.NotFound || err.Error() != want.Error() {
				t.Errorf("%s: %v, %v; want %v", name, got, err, want)
			}
		}
	}
	own, err := idle.ask(t)
	if err != nil {
		t.Fatal(err)
	}
	foreign := a.worker(t, "127.0.0.2", a.m.BootMAC().String())
	for _, state := range []proto.ActionStatusRequest_StateType{proto.ActionStatusRequest_RUNNING, proto.ActionStatusRequest_SUCCESS, proto.ActionStatusRequest_FAILED} {
		if err := foreign.say(t, own, state); status.Code(err) != codes.NotFound {
			t.Errorf("a foreign report of %s: %v", state, err)
		}
	}
	if got := a.is(t, d.ID, registry.DeploymentRunning, ""); got.Actions[0].State != registry.ActionPending {
		t.Errorf("%+v", got)
	}
	a.tellsOnce(t)
}

// tellsOnce waits until the timeline tells of strangers: of each once, not of each question.
func (a *appliance) tellsOnce(t *testing.T) {
	t.Helper()
	var told []string
	for deadline := time.Now().Add(time.Minute); len(told) == 0 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		events, err := a.Timeline(t.Context(), a.m.ID, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		told = nil
		for _, e := range events {
			if strings.HasPrefix(e.Message, "worker: 127.0.0.2 asked for this machine's work") {
				told = append(told, e.Message)
			}
		}
	}
	if len(told) == 0 || len(told) > 2 || !strings.Contains(told[0], "the machine registered from 127.0.0.1") {
		t.Errorf("the timeline says %q", told)
	}
}

// A report that is repeated, out of its turn or makes no sense changes nothing.
func TestTheirReports(t *testing.T) {
	a := newAppliance(t)
	d := a.deploy(t)
	w := a.worker(t, "127.0.0.1", a.m.BootMAC().String())
	own, err := w.ask(t)
	if err != nil {
		t.Fatal(err)
	}
	later, wrong := pb.CloneOf(own), pb.CloneOf(own)
	later.ActionId, wrong.ActionId = ptr("1/1"), ptr("first")
	for name, test := range map[string]struct {
		err  error
		want codes.Code
	}{
		"out of turn": {w.say(t, later, proto.ActionStatusRequest_RUNNING), codes.InvalidArgument},
		"no number":   {w.say(t, wrong, proto.ActionStatusRequest_RUNNING), codes.NotFound},
		"no state":    {w.say(t, own, proto.ActionStatusRequest_UNSPECIFIED), codes.InvalidArgument},
		"pending":     {w.say(t, own, proto.ActionStatusRequest_PENDING), codes.InvalidArgument},
	} {
		if status.Code(test.err) != test.want {
			t.Errorf("%s: %v, want %v", name, test.err, test.want)
		}
	}
	for _, state := range []proto.ActionStatusRequest_StateType{proto.ActionStatusRequest_RUNNING, proto.ActionStatusRequest_RUNNING, proto.ActionStatusRequest_SUCCESS, proto.ActionStatusRequest_SUCCESS} {
		if err := w.say(t, own, state); err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
	if err := w.say(t, own, proto.ActionStatusRequest_RUNNING); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("what has ended begins again: %v", err)
	}
	if _, err := a.Cancel(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	if next, err := w.ask(t); status.Code(err) != codes.NotFound {
		t.Errorf("after it was cancelled: %v, %v", next, err)
	}
	if got := a.is(t, d.ID, registry.DeploymentCancelled, "cancelled"); got.Actions[0].State+" "+got.Actions[1].State != "succeeded pending" {
		t.Errorf("%+v", got.Actions)
	}
}
