package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

const osesPath = "/api/v1/oses"

func (s *Server) mountOSes(api huma.API) {
	tags := []string{"operating systems"}
	huma.Register(api, huma.Operation{OperationID: "list-oses", Method: http.MethodGet, Path: osesPath,
		Summary: "The catalogue of operating systems", Tags: tags, Errors: []int{503}}, s.listOSes)
	huma.Register(api, huma.Operation{OperationID: "get-os", Method: http.MethodGet, Path: osesPath + "/{id}",
		Summary: "One operating system", Tags: tags, Errors: []int{404, 503}}, s.getOS)
	huma.Register(api, huma.Operation{OperationID: "put-os", Method: http.MethodPut, Path: osesPath + "/{id}",
		Summary: "Add an operating system, or replace one; also one that comes with this version", Tags: tags,
		MaxBodyBytes: maxBody, Errors: []int{409, 412, 422, 503}}, s.putOS)
	huma.Register(api, huma.Operation{OperationID: "patch-os", Method: http.MethodPatch, Path: osesPath + "/{id}",
		Summary: "Say whether an operating system may be deployed", Tags: tags,
		MaxBodyBytes: maxForm, Errors: []int{404, 409, 412, 422, 503}}, s.patchOS)
	huma.Register(api, huma.Operation{OperationID: "delete-os", Method: http.MethodDelete, Path: osesPath + "/{id}",
		Summary: "Take an operating system out of the catalogue; one that comes with this version is as it came then", Tags: tags,
		DefaultStatus: http.StatusNoContent, Errors: []int{404, 409, 412, 503}}, s.deleteOS)
}

type osInput struct {
	ID      string `path:"id" maxLength:"64" doc:"ID of an operating system" example:"debian-12"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one any revision is changed" example:"\"3\""`
}

type putOSInput struct {
	ID      string `path:"id" maxLength:"64" doc:"ID of an operating system" example:"debian-12"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one any revision is changed" example:"\"3\""`
	Body    registry.OS
}

type patchOSInput struct {
	ID      string `path:"id" maxLength:"64" doc:"ID of an operating system" example:"debian-12"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one any revision is changed" example:"\"3\""`
	Body    struct {
		Disabled bool `json:"disabled" doc:"it may not be deployed"`
	}
}

type osOutput struct {
	ETag string `header:"ETag"`
	Body registry.OS
}

type osesOutput struct {
	Body struct {
		OSes []registry.OS `json:"oses"`
		Staleness
	}
}

func (s *Server) listOSes(ctx context.Context, _ *struct{}) (*osesOutput, error) {
	all, err := s.registry.OSes(ctx)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &osesOutput{}
	out.Body.Staleness = s.staleness()
	out.Body.OSes = append([]registry.OS{}, all...)
	for i, o := range out.Body.OSes {
		out.Body.OSes[i].Local = s.registry.LocalImages(o)
	}
	return out, nil
}

func (s *Server) getOS(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"64" doc:"ID of an operating system" example:"debian-12"`
}) (*osOutput, error) {
	o, err := s.registry.OS(ctx, in.ID)
	return s.answerOS(o, err, registry.AnyVersion)
}

// answerOS is the operating system after a change, or the problem.
func (s *Server) answerOS(o registry.OS, err error, revision int64) (*osOutput, error) {
	if _, lost := errors.AsType[*registry.ConflictError](err); lost && revision != registry.AnyVersion {
		return nil, huma.Error412PreconditionFailed(err.Error())
	}
	if err != nil {
		return nil, s.problem(err)
	}
	o.Local = s.registry.LocalImages(o)
	return &osOutput{ETag: strconv.Quote(strconv.FormatInt(o.Revision, 10)), Body: o}, nil
}

func (s *Server) putOS(ctx context.Context, in *putOSInput) (*osOutput, error) {
	revision, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if in.Body.ID != in.ID {
		return nil, refused(&registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/id", Message: "it is another one than in the URL"}}})
	}
	o, err := s.registry.PutOS(ctx, revision, in.Body)
	return s.answerOS(o, err, revision)
}

func (s *Server) patchOS(ctx context.Context, in *patchOSInput) (*osOutput, error) {
	revision, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	o, err := s.registry.EnableOS(ctx, in.ID, revision, !in.Body.Disabled)
	return s.answerOS(o, err, revision)
}

func (s *Server) deleteOS(ctx context.Context, in *osInput) (*struct{}, error) {
	revision, err := matched(in.IfMatch)
	if err == nil {
		err = s.registry.DeleteOS(ctx, in.ID, revision)
		_, err = s.answerOS(registry.OS{}, err, revision)
	}
	return nil, err
}

func osURL(id string) string { return osesPath + "/" + url.PathEscape(id) }

// OSes is the catalogue of operating systems.
func (c *Client) OSes(ctx context.Context) ([]registry.OS, error) {
	var reply struct {
		OSes []registry.OS `json:"oses"`
	}
	err := c.do(ctx, http.MethodGet, osesPath, nil, &reply)
	return reply.OSes, err
}

// OS is one operating system.
func (c *Client) OS(ctx context.Context, id string) (registry.OS, error) {
	var reply registry.OS
	err := c.do(ctx, http.MethodGet, osURL(id), nil, &reply)
	return reply, err
}

// PutOS adds an operating system, or replaces one.
func (c *Client) PutOS(ctx context.Context, o registry.OS) (registry.OS, error) {
	var reply registry.OS
	err := c.do(ctx, http.MethodPut, osURL(o.ID), o, &reply)
	return reply, err
}

// EnableOS says whether an operating system may be deployed.
func (c *Client) EnableOS(ctx context.Context, id string, enabled bool) (registry.OS, error) {
	var reply registry.OS
	err := c.do(ctx, http.MethodPatch, osURL(id), map[string]bool{"disabled": !enabled}, &reply)
	return reply, err
}

// DeleteOS takes an operating system out of the catalogue.
func (c *Client) DeleteOS(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, osURL(id), nil, nil)
}
