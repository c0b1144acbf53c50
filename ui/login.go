package ui

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// maxForm bounds a posted form.
const maxForm = 16 << 10

// login is the sign-in form.
type login struct {
	Name, Next, Error string
	SignOn            string // path; empty where there is none
}

func (u *UI) loginForm(w http.ResponseWriter, r *http.Request) error {
	form := login{SignOn: u.SignOn, Next: local(r.FormValue("next"))}
	return render(w, r, http.StatusOK, loginPage(u.frame(r, "Sign in"), form))
}

func (u *UI) signIn(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return &httpError{http.StatusBadRequest, "The form could not be read.", err}
	}
	form := login{SignOn: u.SignOn, Name: strings.TrimSpace(r.PostFormValue("name")), Next: local(r.FormValue("next"))}
	password := r.PostFormValue("password")
	if form.Name == "" || password == "" {
		form.Error = "Enter your name and your password."
		return render(w, r, http.StatusUnprocessableEntity, loginPage(u.frame(r, "Sign in"), form))
	}
	err := u.Sessions.SignIn(r.Context(), form.Name, password)
	if err == nil {
		http.Redirect(w, r, form.Next, http.StatusSeeOther)
		return nil
	}
	u.Log.Warn("sign in", "user", cut(form.Name, 32), "remote", r.RemoteAddr, "err", err)
	status := http.StatusUnauthorized
	form.Error = "The name or the password is wrong."
	if early, ok := errors.AsType[waiter](err); ok {
		status = http.StatusTooManyRequests
		form.Error = "Too many wrong passwords. Try again in " + early.RetryAfter().String() + "."
		w.Header().Set("Retry-After", strconv.Itoa(int(early.RetryAfter().Seconds())))
	}
	if errors.Is(err, registry.ErrUnavailable) {
		status = http.StatusServiceUnavailable
		form.Error = "The database does not answer, so your password cannot be checked. Try again in a moment."
	}
	return render(w, r, status, loginPage(u.frame(r, "Sign in"), form))
}

func (u *UI) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := u.Sessions.SignOut(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// local is next where it is a page of ours, and the machine list otherwise: a
// link to the sign-in form must not lead to another host. Browsers read a
// backslash as a slash and skip control characters.
func local(next string) string {
	at, err := url.Parse(next)
	if err != nil || at.Host != "" || at.Scheme != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(c rune) bool { return c == '\\' || c < ' ' }) {
		return "/machines"
	}
	return next
}
