package tink

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
)

// Peer is who calls: nothing of it is proved but where the answer goes.
type Peer struct {
	Addr netip.Addr
	Conn uint64 // the same for all calls over one connection, and no other
}

// Service is what answers the calls. An [*Error] is told to the peer; what else goes
// wrong is Internal to it, and no more.
type Service interface {
	GetAction(ctx context.Context, from Peer, agent string) (Action, error)
	ReportActionStatus(ctx context.Context, from Peer, status Status) error
}

// Handler speaks gRPC for a service.
type Handler struct {
	Service Service
	// Observe is told of every call; method is GetAction, ReportActionStatus, or
	// empty for what there is not.
	Observe func(method string, code Code)
}

// ServeHTTP is [http.Handler.ServeHTTP].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 || r.Method != http.MethodPost || r.Header.Get("Content-Type") != contentType && r.Header.Get("Content-Type") != contentType+"+proto" {
		http.Error(w, "this is Tink server's protocol: want gRPC", http.StatusUnsupportedMediaType)
		return
	}
	name, answer := h.method(r.URL.Path)
	reply, err := answer(r)
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		refused = &Error{Code: Internal}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	if refused == nil {
		_, _ = w.Write(frame(reply))
		refused = &Error{}
	}
	w.Header().Set("Grpc-Status", strconv.Itoa(int(refused.Code)))
	w.Header().Set("Grpc-Message", encodeMessage(refused.Message))
	if h.Observe != nil {
		h.Observe(name, refused.Code)
	}
}

// method is what answers the calls of a path.
func (h *Handler) method(path string) (name string, answer func(*http.Request) ([]byte, error)) {
	switch path {
	case getAction:
		return "GetAction", h.getAction
	case reportStatus:
		return "ReportActionStatus", h.reportStatus
	}
	return "", func(*http.Request) ([]byte, error) {
		return nil, &Error{Unimplemented, "there is no such method here"}
	}
}

func (h *Handler) getAction(r *http.Request) ([]byte, error) {
	var in request
	if err := read(r, in.unmarshal); err != nil {
		return nil, err
	}
	action, err := h.Service.GetAction(r.Context(), peerOf(r), in.agent)
	return action.marshal(), err
}

func (h *Handler) reportStatus(r *http.Request) ([]byte, error) {
	var in Status
	if err := read(r, in.unmarshal); err != nil {
		return nil, err
	}
	return nil, h.Service.ReportActionStatus(r.Context(), peerOf(r), in)
}

// maxRequest is the size of what a peer may send, in bytes: what is found in a large
// machine takes a tenth of it.
const maxRequest = 256 << 10

// read takes the message of a call.
func read(r *http.Request, into func([]byte) error) error {
	message, err := unframe(r.Body, maxRequest)
	if err == nil {
		err = into(message)
	}
	if _, known := errors.AsType[*Error](err); err != nil && !known {
		return &Error{InvalidArgument, err.Error()}
	}
	return err
}

// Refuse answers a call before anybody has read it.
func Refuse(w http.ResponseWriter, why *Error) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Grpc-Status", strconv.Itoa(int(why.Code)))
	w.Header().Set("Grpc-Message", encodeMessage(why.Message))
	w.WriteHeader(http.StatusOK)
}

type connKey struct{}

func peerOf(r *http.Request) Peer {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	conn, _ := r.Context().Value(connKey{}).(uint64)
	return Peer{at.Addr().Unmap(), conn}
}

// NewServer is an HTTP server for a handler: HTTP/2 without TLS and nothing else, as
// agents speak it where they are not told otherwise.
func NewServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	var conns atomic.Uint64
	return &http.Server{Handler: handler, Protocols: &protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 4, MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 64 << 10,
			SendPingTimeout: time.Minute, PingTimeout: 15 * time.Second, WriteByteTimeout: 15 * time.Second},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conns.Add(1))
		}}
}
