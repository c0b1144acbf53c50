package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// problem maps an error of the registry to its status. What is ours to mend is
// logged and not told.
func (s *Server) problem(err error) error {
	if invalid, ok := errors.AsType[*registry.InvalidError](err); ok {
		return refused(invalid)
	}
	_, conflict := errors.AsType[*registry.ConflictError](err)
	_, refused := errors.AsType[*registry.TransitionError](err)
	_, harm := errors.AsType[*registry.ClusterError](err)
	_, cannot := errors.AsType[*registry.RefusalError](err)
	_, over := errors.AsType[*registry.DeploymentError](err)
	_, locked := errors.AsType[*registry.LockedError](err)
	_, image := errors.AsType[*registry.ImageError](err)
	_, noSpace := errors.AsType[*registry.SpaceError](err)
	_, full := errors.AsType[*registry.FullError](err)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case noSpace, full:
		return huma.NewError(http.StatusInsufficientStorage, err.Error())
	case conflict, refused, harm, image, cannot, over, errors.Is(err, registry.ErrNoCluster):
		return huma.Error409Conflict(err.Error())
	case locked:
		return huma.NewError(http.StatusLocked, err.Error()+"; unlock it first")
	case errors.Is(err, context.Canceled):
		return huma.NewError(statusGone, "the client went away") // nobody reads it; it keeps our log clean
	case errors.Is(err, registry.ErrJournalFull):
		return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable("the database is away and the journal on this host takes no more: nothing was saved; retry in a moment"),
			http.Header{"Retry-After": {"10"}})
	case errors.Is(err, registry.ErrUnavailable) && !s.registry.Outage().Since.IsZero():
		return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable("the database is away since "+
			s.registry.Outage().Since.UTC().Format(time.RFC3339)+": what this asks for is not done, and not kept for later; try again when it is back"),
			http.Header{"Retry-After": {"5"}})
	case errors.Is(err, registry.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(registry.ErrUnavailable.Error()),
			http.Header{"Retry-After": {"2"}})
	}
	s.log.Error("request failed by our own fault", "err", err)
	return huma.Error500InternalServerError("an internal error, which was logged; trying again may help")
}

// errorOf is a problem, as [Server.problem] returns it, in the form that is sent.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	model, ok := errors.AsType[*huma.ErrorModel](err)
	if !ok {
		model = &huma.ErrorModel{Status: http.StatusInternalServerError}
	}
	return &Error{Status: model.Status, Title: statusText(model.Status), Detail: model.Detail}
}

// statusGone is what nginx logs for a client that went away.
const statusGone = 499

// refused is the problem with what the registry does not accept.
func refused(invalid *registry.InvalidError) *Error {
	e := &Error{Status: http.StatusUnprocessableEntity, Title: http.StatusText(http.StatusUnprocessableEntity),
		Detail: "some fields are not acceptable"}
	for _, f := range invalid.Fields[:min(len(invalid.Fields), maxErrors)] {
		e.Errors = append(e.Errors, FieldError{In: "body", Pointer: f.Pointer, Message: f.Message})
	}
	return e
}

// WriteProblem answers with a problem+json document (RFC 9457), for handlers
// outside this package.
func WriteProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", problemType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(&Error{Status: status, Title: http.StatusText(status), Detail: detail})
}
