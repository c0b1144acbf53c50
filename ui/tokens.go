package ui

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// tokensView is the API tokens, and the form for another one.
type tokensView struct {
	Tokens []tokenView
	Roles  []registry.Role // that may be given
	Name   string          // typed
	Role   registry.Role
	Scopes string // with commas
	Days   string // until it expires; "0" is never
	Owner  string
	Signed bool // in with an account; else there is nobody whom a token could act for
	Admin  bool
	Faults faults
	Secret string // of the one that was just made; shown once
}

type tokenView struct {
	registry.Token
	Created, Used, Expires moment
	Expired                bool
}

// tokenDays are how long a token may be good for, in days.
var tokenDays = []struct{ Days, Text string }{{"7", "a week"}, {"30", "30 days"}, {"90", "90 days"}, {"365", "a year"}, {"0", "for ever"}}

func (u *UI) tokens(w http.ResponseWriter, r *http.Request) error {
	return u.showTokens(w, r, tokensView{Role: registry.Viewer, Days: "90"}, http.StatusOK)
}

func (u *UI) showTokens(w http.ResponseWriter, r *http.Request, v tokensView, status int) error {
	all, err := u.Tokens.Tokens(r.Context())
	if err != nil {
		return err
	}
	now := time.Now()
	for _, t := range all {
		v.Tokens = append(v.Tokens, tokenView{t, moment{t.CreatedAt, now}, moment{t.UsedAt, now}, moment{t.ExpiresAt, now},
			!t.ExpiresAt.IsZero() && now.After(t.ExpiresAt)})
	}
	own := registry.Role(registry.ActorOf(r.Context()).Role)
	for _, role := range registry.Roles() {
		if own.Includes(role) {
			v.Roles = append(v.Roles, role)
		}
	}
	v.Signed, v.Admin = u.Sessions.User(r.Context()) != "", admin(r)
	return render(w, r, status, tokensPage(u.settingsFrame(r, "API tokens"), v))
}

// createToken shows the token that it makes: nobody can be shown it again.
func (u *UI) createToken(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	v := tokensView{Name: value("name"), Role: registry.Role(value("role")), Scopes: value("scopes"), Days: value("days"), Owner: value("owner")}
	want := registry.Token{Name: v.Name, Role: v.Role, Scopes: listed(v.Scopes), Owner: v.Owner}
	if v.Scopes != "" && len(want.Scopes) == 0 { // of commas: only a field that is empty means no limit
		want.Scopes = []string{v.Scopes}
	}
	days, err := strconv.ParseUint(v.Days, 10, 16)
	if err != nil {
		v.Faults = faults{"expires_at": {"Choose how long it is good for."}}
		return u.showTokens(w, r, v, http.StatusUnprocessableEntity)
	}
	if days > 0 {
		want.ExpiresAt = time.Now().Add(time.Duration(days) * 24 * time.Hour).UTC().Truncate(time.Second)
	}
	secret, made, err := u.Tokens.CreateToken(r.Context(), want)
	if err == nil {
		u.Log.Info("api token made", "token", made.ID, "owner", made.Owner, "role", made.Role, "by", registry.ActorOf(r.Context()).Name)
		return u.showTokens(w, r, tokensView{Role: registry.Viewer, Days: "90", Name: "", Secret: secret}, http.StatusOK)
	}
	if v.Faults = faultsOf(err, tokenField); v.Faults == nil {
		return err
	}
	status, _ := refusal(err)
	return u.showTokens(w, r, v, status)
}

// tokenField is the field that a pointer of a token belongs to.
func tokenField(pointer string) string {
	switch pointer {
	case "/name", "/role", "/scopes", "/owner", "/expires_at":
		return pointer[1:]
	}
	return ""
}

func (u *UI) askRevoke(w http.ResponseWriter, r *http.Request) error {
	all, err := u.Tokens.Tokens(r.Context())
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.ID == r.PathValue("id") {
			name := t.Owner + "/" + t.Name
			return render(w, r, http.StatusOK, confirmation(u.settingsFrame(r, "Revoke "+name+"?"), question{Title: "Revoke " + name + "?",
				Text: "Whatever uses this token is refused at once, and it cannot be brought back.", Yes: "Revoke " + name, Action: r.URL.EscapedPath(), Back: "/settings/tokens"}))
		}
	}
	return &httpError{status: http.StatusNotFound, detail: "There is no such token; it may have been revoked already."}
}

func (u *UI) revoke(w http.ResponseWriter, r *http.Request) error {
	if err := u.Tokens.RevokeToken(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	u.Log.Info("api token revoked", "token", r.PathValue("id"), "by", registry.ActorOf(r.Context()).Name)
	http.Redirect(w, r, "/settings/tokens", http.StatusSeeOther)
	return nil
}

// seconds is a time to wait as a header has it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
