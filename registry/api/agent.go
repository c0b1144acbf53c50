package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// mountAgent adds the routes of the agents. Their tokens are checked before the
// body is read, so that only a machine we booted can make us parse anything.
func (s *Server) mountAgent(api huma.API) {
	security := []map[string][]string{{"agentToken": {}}}
	huma.Register(api, huma.Operation{
		OperationID: "register", Method: http.MethodPost, Path: "/api/v1/agent/register",
		Summary: "Report a machine's hardware (boot token)", Tags: []string{"agent"}, Security: security,
		MaxBodyBytes: maxBody, SkipValidateBody: true, Errors: []int{401, 403, 413, 422, 503, 507},
		Middlewares: huma.Middlewares{authorise(api, s.tokens.CheckBoot)},
	}, s.register)
	huma.Register(api, huma.Operation{
		OperationID: "next", Method: http.MethodGet, Path: "/api/v1/agent/next",
		Summary: "Wait for the next instruction (machine token)", Tags: []string{"agent"}, Security: security,
		Errors:      []int{401, 422, 503},
		Middlewares: huma.Middlewares{authorise(api, s.tokens.CheckMachine)},
	}, s.next)
	s.mountAgentDeployment(api, security)
}

// bearer is what a token said: the address it was given to, or the machine.
type bearerKey struct{}

// authorise answers 401 unless check accepts the bearer token; what check
// returns is the handler's to fetch with bearer.
func authorise[T any](api huma.API, check func(token string) (T, error)) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		token, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
		if !ok {
			ctx.SetHeader("WWW-Authenticate", "Bearer")
			_ = huma.WriteErr(api, ctx, http.StatusUnauthorized, "this needs an Authorization: Bearer header with the token of the boot script")
			return
		}
		who, err := check(strings.TrimSpace(token))
		if err != nil {
			ctx.SetHeader("WWW-Authenticate", `Bearer error="invalid_token"`)
			_ = huma.WriteErr(api, ctx, http.StatusUnauthorized, err.Error())
			return
		}
		next(huma.WithValue(huma.WithValue(ctx, bearerKey{}, who), remoteKey{}, ctx.RemoteAddr()))
	}
}

type remoteKey struct{}

func bearer[T any](ctx context.Context) T { return ctx.Value(bearerKey{}).(T) }

// remote is the address the request came from; invalid where it is not an IP
// address, as on the control socket.
func remote(ctx context.Context) netip.Addr {
	text, _ := ctx.Value(remoteKey{}).(string)
	peer, _ := netip.ParseAddrPort(text)
	return peer.Addr().Unmap()
}

type registerInput struct {
	Body registerBody
}

type registerOutput struct {
	Status int
	Body   RegisterReply
}

func (s *Server) register(ctx context.Context, in *registerInput) (*registerOutput, error) {
	token := bearer[registry.BootToken](ctx)
	if in.Body.MAC != token.MAC {
		return nil, huma.Error403Forbidden(fmt.Sprintf("the boot token was given to %s, not to %s", token.MAC, in.Body.MAC))
	}
	system := in.Body.Hardware.System
	if err := s.tokens.BindBoot(token, system.UUID+"/"+system.Serial); err != nil {
		return nil, huma.Error401Unauthorized(err.Error())
	}
	m, created, err := s.registry.Register(ctx, registry.Registration{
		MAC: in.Body.MAC, MACs: in.Body.MACs, Hostname: in.Body.Hostname,
		Address: remote(ctx), Hardware: in.Body.Hardware, Boot: token.Boot,
	})
	if err != nil {
		return nil, s.problem(err)
	}
	out := &registerOutput{Status: http.StatusOK, Body: RegisterReply{
		Status: "committed", ID: m.ID, Name: m.Name, State: m.State, Token: s.tokens.Machine(m.ID, token.Boot), Next: registry.Wait,
	}}
	if m.Deployment != "" && m.BootNext == registry.BootAgent && !m.Journaled {
		out.Body.Next = registry.Deploy
	}
	switch {
	case m.Journaled:
		out.Status, out.Body.Status = http.StatusAccepted, "journaled"
	case created:
		out.Status = http.StatusCreated
	}
	return out, nil
}

type nextInput struct {
	Wait string `query:"wait" maxLength:"20" default:"30s" doc:"how long to wait, at most 30s, such as 10s"`
}

type nextOutput struct {
	Body NextReply
}

func (s *Server) next(ctx context.Context, in *nextInput) (*nextOutput, error) {
	wait, err := time.ParseDuration(in.Wait)
	if err != nil || wait < 0 {
		return nil, huma.Error422UnprocessableEntity("wait: want a duration such as 30s",
			&huma.ErrorDetail{Location: "query.wait", Message: "want a duration such as 30s", Value: in.Wait})
	}
	who := bearer[registry.MachineToken](ctx)
	m, what, err := s.registry.Next(ctx, who.ID, who.Boot, wait)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, huma.Error401Unauthorized("this machine's record was removed; boot it again to register")
	}
	if err != nil {
		return nil, s.problem(err)
	}
	return &nextOutput{Body: NextReply{Name: m.Name, State: m.State, Token: who.Renewed, Next: what}}, nil
}
