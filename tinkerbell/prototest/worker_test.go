package prototest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tinkerbell/tinkerbell/pkg/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragonfly/images/agent"
	"dragonfly/images/agent/action"
	"dragonfly/images/tink"
	"dragonfly/registry"
)

// tinkServer is Tink server with one Workflow, as far as a worker can tell: the action
// that runs is handed out again, and behind one that failed there is nothing.
type tinkServer struct {
	proto.UnimplementedWorkflowServiceServer
	authority string

	mu      sync.Mutex
	server  *grpc.Server
	steps   []*proto.ActionResponse
	at      int
	failed  bool
	told    []string
	restart proto.ActionStatusRequest_StateType // the server goes away for a while when it is told this, once
	away    bool
}

func (s *tinkServer) GetAction(_ context.Context, r *proto.ActionRequest) (*proto.ActionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.GetAgentId() != "52:54:00:00:00:01":
		return nil, status.Error(codes.NotFound, "no Workflows found")
	case s.failed || s.at == len(s.steps):
		return nil, status.Error(codes.FailedPrecondition, "Workflow not in pending or running state")
	}
	return s.steps[s.at], nil
}

func (s *tinkServer) ReportActionStatus(_ context.Context, r *proto.ActionStatusRequest) (*proto.ActionStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.GetActionState() == s.restart {
		s.restart, s.away = 0, true
		go s.bounce()
	}
	if s.away { // what is heard now might be answered over a connection that is cut
		return nil, status.Error(codes.Unavailable, "server shutting down")
	}
	s.told = append(s.told, r.GetActionName()+" "+r.GetActionState().String())
	switch state := r.GetActionState(); {
	case state == proto.ActionStatusRequest_SUCCESS && r.GetActionId() == s.steps[s.at].GetActionId():
		s.at++
	case state == proto.ActionStatusRequest_FAILED:
		s.failed = true
		s.told = append(s.told, r.GetMessage().GetMessage())
	}
	return &proto.ActionStatusResponse{}, nil
}

// bounce cuts every connection, and listens again at the same address.
func (s *tinkServer) bounce() {
	s.server.Stop()
	s.listen(s.authority)
}

func (s *tinkServer) listen(at string) {
	for {
		l, err := net.Listen("tcp", at)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // the kernel still has the port
			continue
		}
		s.mu.Lock()
		s.authority, s.server, s.away = l.Addr().String(), grpc.NewServer(), false
		proto.RegisterWorkflowServiceServer(s.server, s)
		go func(server *grpc.Server) { _ = server.Serve(l) }(s.server)
		s.mu.Unlock()
		return
	}
}

// work runs our agent as a worker until it restarts the machine, or the Workflow has
// failed.
func work(t *testing.T, s *tinkServer) (did []string) {
	t.Helper()
	s.listen("127.0.0.1:0")
	defer func() { s.server.Stop() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	restarted := false
	cfg := agent.Config{
		Boot:    agent.Boot{Tink: tink.Server{Authority: s.authority}, Worker: "52:54:00:00:00:01"},
		Console: agent.NewConsole([]io.Writer{io.Discard}, nil), Log: slog.New(slog.DiscardHandler),
		Uptime:  func() time.Duration { return 0 },
		Devices: func(context.Context, *sync.WaitGroup) {},
		Network: func(ctx context.Context, changed func([]agent.Port)) error {
			changed([]agent.Port{{Name: "eth0", Link: true, Address: netip.MustParsePrefix("10.0.0.7/24")}})
			<-ctx.Done()
			return nil
		},
		Hardware:  func(context.Context) registry.Hardware { return registry.Hardware{} },
		BootID:    "boot-1",
		LinkDisks: func() error { return nil }, Release: func() error { return nil },
		Restart: func() error { restarted = true; return nil },
		Action: func(image string) (action.Action, bool) {
			name := action.Name(image)
			_, known := action.Lookup(image)
			return action.Func(func(_ context.Context, env *action.Env) error {
				if did = append(did, name); env.Vars["BREAK"] != "" {
					return errors.New("it is broken")
				}
				return nil
			}), known
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx, cfg) }()
	for {
		select {
		case err := <-ended:
			if err != nil || !restarted {
				t.Errorf("the agent ended with %v, restarted: %v", err, restarted)
			}
			return did
		case <-time.After(20 * time.Millisecond):
			s.mu.Lock()
			if s.failed {
				s.mu.Unlock()
				cancel()
				<-ended
				return did
			}
			s.mu.Unlock()
		}
	}
}

func actions(images ...string) (all []*proto.ActionResponse) {
	for _, image := range images {
		all = append(all, &proto.ActionResponse{WorkflowId: ptr("ns/wf"), TaskId: ptr("t"), AgentId: ptr("52:54:00:00:00:01"), ActionId: ptr("id-" + image), Name: ptr(image),
			Image: ptr("quay.io/tinkerbell/actions/" + image + ":latest"), Timeout: ptr(int64(60)), Volumes: []string{"/dev:/dev"}, Environment: []string{"DEST_DISK=/dev/sda"}})
	}
	return all
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestOurWorker(t *testing.T) {
	s := &tinkServer{steps: actions("image2disk", "cexec", "reboot")}
	same(t, "did", work(t, s), []string{"image2disk", "cexec"})
	same(t, "told", s.told, []string{"image2disk RUNNING", "image2disk SUCCESS", "cexec RUNNING", "cexec SUCCESS", "reboot RUNNING", "reboot SUCCESS"})
}

func TestOurWorkerOutlastsTheServer(t *testing.T) {
	for _, state := range []proto.ActionStatusRequest_StateType{proto.ActionStatusRequest_RUNNING, proto.ActionStatusRequest_SUCCESS} {
		s := &tinkServer{steps: actions("image2disk", "reboot"), restart: state}
		same(t, "did", work(t, s), []string{"image2disk"})
		same(t, "told", s.told, []string{"image2disk RUNNING", "image2disk SUCCESS", "reboot RUNNING", "reboot SUCCESS"})
	}
}

func TestOurWorkerFails(t *testing.T) {
	s := &tinkServer{steps: actions("image2disk", "cexec")}
	s.steps[0].Environment = append(s.steps[0].Environment, "BREAK=1")
	same(t, "did", work(t, s), []string{"image2disk"})
	same(t, "told", s.told, []string{"image2disk RUNNING", "image2disk FAILED", "it is broken"})
}

func TestOurWorkerDoesNotKnow(t *testing.T) {
	s := &tinkServer{steps: actions("slurp")}
	same(t, "did", work(t, s), nil)
	if len(s.told) != 2 || s.told[0] != "slurp FAILED" || len(s.told[1]) < 100 {
		t.Errorf("told %q", s.told)
	}
}
