package ui

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"dragonfly/registry"
)

// setup is the form that makes the first account.
type setup struct {
	Token, Name, Error string
}

// setupForm shows the form. The one-time code is behind the # of the link, which
// browsers do not send: a script puts it into the form.
func (u *UI) setupForm(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, setupPage(u.frame(r, "First account"), setup{}))
}

// setUp makes the first account and signs it in.
func (u *UI) setUp(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpError{http.StatusBadRequest, "The form could not be read.", err}
	}
	form := setup{Token: strings.TrimSpace(r.PostFormValue("token")), Name: strings.TrimSpace(r.PostFormValue("name"))}
	password := r.PostFormValue("password")
	err := u.Setup(r.Context(), form.Token, form.Name, password)
	if err == nil {
		err = u.Sessions.SignIn(r.Context(), form.Name, password)
	}
	if err == nil {
		http.Redirect(w, r, "/first", http.StatusSeeOther)
		return nil
	}
	u.Log.Warn("setup", "user", cut(form.Name, 32), "remote", r.RemoteAddr, "err", err)
	status := http.StatusUnprocessableEntity
	status, form.Error = setupTrouble(err)
	return render(w, r, status, setupPage(u.frame(r, "First account"), form))
}

// setupTrouble is why the account was not made, for people.
func setupTrouble(err error) (status int, why string) {
	invalid, isInvalid := errors.AsType[*registry.InvalidError](err)
	switch {
	case isInvalid:
		var lines []string
		for _, f := range invalid.Fields {
			lines = append(lines, strings.TrimPrefix(f.Pointer, "/")+": "+f.Message)
		}
		return http.StatusUnprocessableEntity, sentence(errors.New(registry.Clauses(lines...)))
	case errors.Is(err, registry.ErrForbidden):
		return http.StatusForbidden, "The code is wrong or was used already. The log of the server's latest start has the right one, until there is an account; from then on, sign in."
	case errors.Is(err, registry.ErrUnavailable):
		return http.StatusServiceUnavailable, "The database does not answer, so nothing was saved. Try again in a moment."
	}
	return http.StatusInternalServerError, "The account could not be made. The server's log says why."
}

// waiter is an error that says when to come back.
type waiter interface {
	error
	RetryAfter() time.Duration
}
