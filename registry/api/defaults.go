package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

const defaultsPath = "/api/v1/defaults"

// Defaults is what every deployment begins from on the wire. The hash of a password is
// never in an answer: [registry.HashKept] stands for it.
type Defaults struct {
	Version int64 `json:"version,omitempty" minimum:"0" doc:"a PUT that has one is refused where another one is stored"`
	registry.Seed
	Stale bool `json:"stale,omitempty" doc:"in answers: the database is away, and this is what was known last"`
}

func (s *Server) mountDefaults(api huma.API) {
	tags := []string{"defaults"}
	huma.Register(api, huma.Operation{OperationID: "get-defaults", Method: http.MethodGet, Path: defaultsPath,
		Summary: "What every deployment begins from", Tags: tags, Description: "The lowest layer of what an installed system is given: keys, users, packages, network, time zone, " +
			"and user data, which is cloud-init's. The operating system, the tags of the machine and the deployment lie over it. What the first boot of an operating system cannot take " +
			"is left out of it. In place of the hash of a password stands `" + registry.HashKept + "`.", Errors: []int{503}}, s.getDefaults)
	huma.Register(api, huma.Operation{OperationID: "put-defaults", Method: http.MethodPut, Path: defaultsPath,
		Summary: "Replace what every deployment begins from; those that were asked for stay as they are", Tags: tags,
		Description:  "A `password_hash` of `" + registry.HashKept + "` stays what it is. Names, fixed addresses and hardware addresses are refused: they are each machine's own.",
		MaxBodyBytes: maxBody, Errors: []int{409, 412, 422, 503}}, s.putDefaults)
}

type defaultsOutput struct {
	ETag string `header:"ETag"`
	Body Defaults
}

func defaultsOf(d registry.Defaults) *defaultsOutput {
	return &defaultsOutput{ETag: strconv.Quote(strconv.FormatInt(d.Version, 10)), Body: Defaults{Version: d.Version, Seed: d.Seed}}
}

func (s *Server) getDefaults(ctx context.Context, _ *struct{}) (*defaultsOutput, error) {
	d, err := s.registry.Defaults(ctx)
	if err != nil {
		return nil, s.problem(err)
	}
	out := defaultsOf(d)
	out.Body.Stale = !s.registry.Outage().Since.IsZero()
	return out, nil
}

type putDefaultsInput struct {
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one, and without a version, any defaults are replaced"`
	Body    Defaults
}

func (s *Server) putDefaults(ctx context.Context, in *putDefaultsInput) (*defaultsOutput, error) {
	matching, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if in.Body.Stale {
		return nil, refused(&registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/stale", Message: "this was read while the database was away: read it again"}}})
	}
	version := matching
	if version == registry.AnyVersion {
		version = in.Body.Version
	}
	d, err := s.registry.SetDefaults(ctx, version, in.Body.Seed)
	if _, lost := errors.AsType[*registry.ConflictError](err); lost && matching != registry.AnyVersion {
		return nil, huma.Error412PreconditionFailed(err.Error())
	}
	if err != nil {
		return nil, s.problem(err)
	}
	return defaultsOf(d), nil
}

// Defaults is what every deployment begins from.
func (c *Client) Defaults(ctx context.Context) (Defaults, error) {
	var reply Defaults
	err := c.do(ctx, http.MethodGet, defaultsPath, nil, &reply)
	return reply, err
}

// SetDefaults replaces that; 409 where d has a version that is not stored.
func (c *Client) SetDefaults(ctx context.Context, d Defaults) (Defaults, error) {
	var reply Defaults
	err := c.do(ctx, http.MethodPut, defaultsPath, d, &reply)
	return reply, err
}
