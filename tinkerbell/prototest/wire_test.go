package prototest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tinkerbell/tinkerbell/pkg/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragonfly/images/tink"
	"dragonfly/registry"
)

// upstream is a server of the published protocol.
type upstream struct {
	proto.UnimplementedWorkflowServiceServer
	action *proto.ActionResponse
	err    error

	asked *proto.ActionRequest
	told  *proto.ActionStatusRequest
}

func (u *upstream) GetAction(_ context.Context, r *proto.ActionRequest) (*proto.ActionResponse, error) {
	u.asked = r
	return u.action, u.err
}

func (u *upstream) ReportActionStatus(_ context.Context, r *proto.ActionStatusRequest) (*proto.ActionStatusResponse, error) {
	u.told = r
	return &proto.ActionStatusResponse{}, u.err
}

// serve runs a server of gRPC's own library.
func serve(t *testing.T, service proto.WorkflowServiceServer) (authority string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	proto.RegisterWorkflowServiceServer(s, service)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

func ptr[T any](v T) *T { return &v }

func everything() *proto.ActionResponse {
	return &proto.ActionResponse{WorkflowId: ptr("tink-system/wf"), TaskId: ptr("task"), AgentId: ptr("52:54:00:00:00:01"), ActionId: ptr("action"),
		Name: ptr("write image"), Image: ptr("quay.io/tinkerbell/actions/image2disk:latest"), Timeout: ptr(int64(600)),
		Command: []string{"a", "", "c"}, Volumes: []string{"/dev:/dev"}, Environment: []string{"DEST_DISK=/dev/sda", "EMPTY="},
		Pid: ptr("host"), Namespaces: &proto.Namespaces{Network: ptr("host"), Pid: ptr("host")}}
}

func sameAction() tink.Action {
	return tink.Action{Workflow: "tink-system/wf", Task: "task", Agent: "52:54:00:00:00:01", ID: "action", Name: "write image",
		Image: "quay.io/tinkerbell/actions/image2disk:latest", Timeout: 600, Command: []string{"a", "", "c"}, Volumes: []string{"/dev:/dev"},
		Environment: []string{"DEST_DISK=/dev/sda", "EMPTY="}, PID: "host", Network: "host"}
}

func TestOurClientAsks(t *testing.T) {
	u := &upstream{action: everything()}
	client := tink.NewClient(tink.Server{Authority: serve(t, u)})
	found := registry.Hardware{CPU: registry.CPU{Sockets: 2, Cores: 8, Threads: 16, Vendor: "Intel", Model: "Xeon"},
		Memory: registry.Memory{Bytes: 16 << 30},
		Disks:  []registry.Disk{{Name: "sda", Model: "Disk", Serial: "S1", WWN: "0x5", Bytes: 3<<40 + 1, Transport: "sata"}},
		NICs:   []registry.NIC{{Name: "eth0", MAC: registry.MAC{0x52, 0x54, 0, 0, 0, 1}, SpeedMbit: 1000}, {PCIID: "8086:1533"}},
		System: registry.System{Vendor: "Maker", Product: "Box", Serial: "B1"}, Firmware: registry.Firmware{Vendor: "F", Version: "1", Date: "2026"}}
	action, err := client.GetAction(t.Context(), "52:54:00:00:00:01", found)
	if err != nil || !reflect.DeepEqual(action, sameAction()) {
		t.Errorf("got %+v, %v", action, err)
	}
	got := u.asked.GetAgentAttributes()
	if u.asked.GetAgentId() != "52:54:00:00:00:01" || got.GetCpu().GetTotalThreads() != 16 || len(got.GetCpu().GetProcessors()) != 2 || got.GetCpu().GetProcessors()[1].GetCores() != 4 ||
		got.GetMemory().GetTotal() != "16GB" || got.GetBlock()[0].GetSize() != "4TB" || got.GetBlock()[0].GetSerialNumber() != "S1" || got.GetBlock()[0].GetWwn() != "0x5" ||
		len(got.GetNetwork()) != 1 || got.GetNetwork()[0].GetMac() != "52:54:00:00:00:01" || got.GetProduct().GetName() != "Box" || got.GetBios().GetReleaseDate() != "2026" || got.GetChassis().GetSerial() != "B1" {
		t.Errorf("the server was told %v", u.asked)
	}
}

func TestOurClientReports(t *testing.T) {
	u := &upstream{}
	client := tink.NewClient(tink.Server{Authority: serve(t, u)})
	start := time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC)
	err := client.ReportActionStatus(t.Context(), tink.Status{Workflow: "ns/wf", Agent: "a", Task: "t", Action: "i", Name: "n",
		State: tink.Success, Start: start, Stop: start.Add(time.Minute), Duration: "1m0s", Message: "größer"})
	if err != nil {
		t.Fatal(err)
	}
	s := u.told
	if s.GetWorkflowId() != "ns/wf" || s.GetAgentId() != "a" || s.GetTaskId() != "t" || s.GetActionId() != "i" || s.GetActionName() != "n" || s.GetActionState() != proto.ActionStatusRequest_SUCCESS ||
		!s.GetExecutionStart().AsTime().Equal(start) || !s.GetExecutionStop().AsTime().Equal(start.Add(time.Minute)) || s.GetExecutionDuration() != "1m0s" || s.GetMessage().GetMessage() != "größer" {
		t.Errorf("the server was told %v", s)
	}
}

func TestOurClientIsRefused(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.FailedPrecondition, codes.InvalidArgument, codes.Internal, codes.Unavailable, codes.Unauthenticated} {
		u := &upstream{err: status.Error(code, "100% nichts für dich\n")}
		_, err := tink.NewClient(tink.Server{Authority: serve(t, u)}).GetAction(t.Context(), "a", registry.Hardware{})
		if err == nil || int(tink.CodeOf(err)) != int(code) || !strings.Contains(err.Error(), "100% nichts für dich") {
			t.Errorf("%v: got %v", code, err)
		}
	}
}

// ours answers what a test says.
type ours struct {
	action tink.Action
	err    error

	agent string
	from  []tink.Peer
	told  tink.Status
}

func (o *ours) GetAction(_ context.Context, from tink.Peer, agent string) (tink.Action, error) {
	o.agent, o.from = agent, append(o.from, from)
	return o.action, o.err
}

func (o *ours) ReportActionStatus(_ context.Context, from tink.Peer, s tink.Status) error {
	o.told, o.from = s, append(o.from, from)
	return o.err
}

// dial is the published client of our server.
func dial(t *testing.T, service tink.Service) proto.WorkflowServiceClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := tink.NewServer(&tink.Handler{Service: service})
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return client(t, l.Addr().String())
}

func client(t *testing.T, authority string) proto.WorkflowServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(authority, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return proto.NewWorkflowServiceClient(conn)
}

func TestOurServer(t *testing.T) {
	o := &ours{action: sameAction()}
	c := dial(t, o)
	attributes := &proto.AgentAttributes{Cpu: &proto.CPU{TotalCores: ptr(uint32(4))}}
	action, err := c.GetAction(t.Context(), &proto.ActionRequest{AgentId: ptr("52:54:00:00:00:01"), AgentAttributes: attributes})
	if err != nil || o.agent != "52:54:00:00:00:01" || action.String() != everything().String() {
		t.Errorf("asked as %q, got %v, %v", o.agent, action, err)
	}
	start := time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC)
	_, err = c.ReportActionStatus(t.Context(), &proto.ActionStatusRequest{WorkflowId: ptr("ns/wf"), AgentId: ptr("a"), TaskId: ptr("t"), ActionId: ptr("i"), ActionName: ptr("n"),
		ActionState: ptr(proto.ActionStatusRequest_TIMEOUT), ExecutionStart: timestamppb.New(start), ExecutionStop: timestamppb.New(time.Time{}), ExecutionDuration: ptr("1s"),
		Message: &proto.ActionMessage{Message: ptr("action completed")}})
	want := tink.Status{Workflow: "ns/wf", Agent: "a", Task: "t", Action: "i", Name: "n", State: tink.Timeout, Start: start, Duration: "1s", Message: "action completed"}
	if err != nil || o.told != want {
		t.Errorf("was told %+v, %v", o.told, err)
	}
	if len(o.from) != 2 || o.from[0] != o.from[1] || o.from[0].Addr != netip.MustParseAddr("127.0.0.1") || o.from[0].Conn == 0 {
		t.Errorf("from %v", o.from)
	}
}

func TestOurServerRefuses(t *testing.T) {
	o := &ours{err: &tink.Error{Code: tink.NotFound, Message: "100% nichts für dich\n"}}
	_, err := dial(t, o).GetAction(t.Context(), &proto.ActionRequest{})
	if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "100% nichts für dich\n" {
		t.Errorf("got %v", err)
	}
	o.err = http.ErrServerClosed
	if _, err = dial(t, o).GetAction(t.Context(), &proto.ActionRequest{}); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "closed") {
		t.Errorf("what is inside shows: %v", err)
	}
	if _, err = dial(t, o).GetAction(t.Context(), &proto.ActionRequest{AgentId: ptr("a")}, grpc.UseCompressor(gzip.Name)); status.Code(err) != codes.Unimplemented {
		t.Errorf("a compressed message: %v", err)
	}
}

// Another connection is another peer.
func TestOurServerTellsConnectionsApart(t *testing.T) {
	o := &ours{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := tink.NewServer(&tink.Handler{Service: o})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	for range 2 {
		if _, err := client(t, l.Addr().String()).GetAction(t.Context(), &proto.ActionRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(o.from) != 2 || o.from[0].Conn == o.from[1].Conn {
		t.Errorf("from %v", o.from)
	}
}
