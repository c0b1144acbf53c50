package ui

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"dragonfly/registry"
)

// page answers a request or says why it cannot.
type page func(w http.ResponseWriter, r *http.Request) error

// httpError is an error that the operator is shown: Detail is written for them,
// err is for the log.
type httpError struct {
	status int
	detail string
	err    error
}

func (e *httpError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("%d: %s", e.status, e.detail)
	}
	return fmt.Sprintf("%d: %v", e.status, e.err)
}

func (e *httpError) Unwrap() error { return e.err }

// trouble is what an error page shows.
type trouble struct {
	Status       int
	Title        string
	Detail, Hint string
	Retry        bool
}

// handle is the one place where an error becomes an answer. What the operator
// sees says what to do; the cause goes to the log.
func (u *UI) handle(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := p(w, r)
		if err == nil || r.Context().Err() != nil {
			return // nobody waits for the answer
		}
		t := explain(err)
		if t.Status >= http.StatusInternalServerError {
			u.Log.Error("serve page", "path", r.URL.Path, "err", err)
		}
		u.show(w, r, t)
	})
}

// Deny answers with an error page; it is for the gate before this handler. Of a form
// that comes after the session has ended nothing is lost.
func (u *UI) Deny(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if status == http.StatusUnauthorized {
		if k, ok := keptOf(w, r); ok {
			secure(u.handle(func(w http.ResponseWriter, r *http.Request) error {
				return render(w, r, status, keptPage(u.frame(r, "Sign in again"), k))
			})).ServeHTTP(w, r)
			return
		}
	}
	u.secured(w, r, explain(&httpError{status: status, detail: sentence(errors.New(detail))}))
}

func (u *UI) secured(w http.ResponseWriter, r *http.Request, t trouble) {
	secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.show(w, r, t) })).ServeHTTP(w, r)
}

func (u *UI) show(w http.ResponseWriter, r *http.Request, t trouble) {
	if err := render(w, r, t.Status, errorPage(u.frame(r, t.Title), t)); err != nil {
		u.Log.Error("serve error page", "path", r.URL.Path, "err", err)
		http.Error(w, t.Title, t.Status)
	}
}

func explain(err error) trouble {
	if e, ok := errors.AsType[*httpError](err); ok {
		return trouble{Status: e.status, Title: http.StatusText(e.status), Detail: e.detail,
			Retry: e.status >= http.StatusInternalServerError}
	}
	if errors.Is(err, registry.ErrUnavailable) {
		return trouble{Status: http.StatusServiceUnavailable, Title: "The database does not answer", Retry: true,
			Detail: "Machines keep booting from what is in memory, but nothing can be shown or changed.",
			Hint:   "It often comes back by itself within seconds. If it does not, look at: journalctl -u dragonfly"}
	}
	if status, text := refusal(err); text != "" {
		return trouble{Status: status, Title: http.StatusText(status), Detail: text}
	}
	return trouble{Status: http.StatusInternalServerError, Title: "Something went wrong here", Retry: true,
		Detail: "This is a fault of Dragonfly, not yours.",
		Hint:   "The log has the cause (" + time.Now().Format("15:04:05") + "): journalctl -u dragonfly"}
}

func notFound(_ http.ResponseWriter, r *http.Request) error {
	return &httpError{status: http.StatusNotFound, detail: "There is no page at " + cut(r.URL.Path, 80) + "."}
}
