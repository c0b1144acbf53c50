package ui

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"dragonfly/registry"
)

// Own is what everybody may do with the account they are signed in with.
// *auth.Accounts is one, as it is of the two below.
type Own interface {
	// ChangePassword errs with [registry.ErrForbidden] where old is another one.
	ChangePassword(ctx context.Context, old, password string) error
	// EndSessions signs whoever asks out, in every browser.
	EndSessions(ctx context.Context) error
}

// People is the accounts.
type People interface {
	Accounts(ctx context.Context) ([]registry.Account, error)
	CreateAccount(ctx context.Context, name, password string, role registry.Role) error
	// ChangeAccount leaves what is empty as it is.
	ChangeAccount(ctx context.Context, name, password string, role registry.Role) error
	DeleteAccount(ctx context.Context, name string) error
}

// Tokens is the API tokens.
type Tokens interface {
	// Tokens are those that whoever asks may manage.
	Tokens(ctx context.Context) ([]registry.Token, error)
	// CreateToken returns the token itself first: it is not kept.
	CreateToken(ctx context.Context, want registry.Token) (secret string, made registry.Token, err error)
	RevokeToken(ctx context.Context, id string) error
}

// settings is the page of one's own account.
type settings struct {
	registry.Account
	Signed   bool // in; else who asks is on this host, and no account exists
	Admin    bool
	Done     string
	Faults   faults
	Provider [][2]string
}

// settingsTab is a part of the settings.
type settingsTab struct {
	Path, Title string
	Admin       bool // only for one
}

// holds reports whether a page is one of the part. All pages are below that of one's own account.
func (t settingsTab) holds(page string) bool {
	return page == t.Path || t.Path != "/settings" && strings.HasPrefix(page, t.Path+"/")
}

// settingsTabs are the parts of the settings.
var settingsTabs = []settingsTab{{"/settings", "Your account", false}, {"/settings/tokens", "API tokens", false}, {"/settings/rules", "Rules", false}, {"/settings/defaults", "Defaults", false}, {"/settings/users", "Users", true}}

// admin reports whether who asks may change what concerns everybody.
func admin(r *http.Request) bool {
	return registry.Role(registry.ActorOf(r.Context()).Role).Includes(registry.Admin)
}

// settingsFrame is the frame of one of the pages of the settings.
func (u *UI) settingsFrame(r *http.Request, title string) frame {
	f := u.frame(r, title)
	f.Still, f.Admin = true, admin(r)
	return f
}

// done is what was done, by the word for it in the address.
var done = map[string]string{
	"password": "Your password was changed. Wherever else you were signed in, you no longer are.",
}

func (u *UI) settings(w http.ResponseWriter, r *http.Request) error {
	return u.showSettings(w, r, settings{Done: done[r.FormValue("done")]}, http.StatusOK)
}

func (u *UI) showSettings(w http.ResponseWriter, r *http.Request, s settings, status int) error {
	actor := registry.ActorOf(r.Context())
	s.Account = registry.Account{Name: actor.Name, Role: registry.Role(actor.Role)}
	s.Admin, s.Provider = admin(r), u.Provider
	all, err := u.People.Accounts(r.Context())
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Name == actor.Name {
			s.Account, s.Signed = a, true
		}
	}
	return render(w, r, status, settingsPage(u.settingsFrame(r, "Your account"), s))
}

// errAgain is for a password that was typed in two ways.
const errAgain = "This is another one than above."

func (u *UI) changePassword(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	old, password := r.PostFormValue("old"), r.PostFormValue("password")
	if password != r.PostFormValue("again") {
		return u.showSettings(w, r, settings{Faults: faults{"again": {errAgain}}}, http.StatusUnprocessableEntity)
	}
	err := u.Own.ChangePassword(r.Context(), old, password)
	if err == nil {
		err = u.Sessions.SignIn(r.Context(), registry.ActorOf(r.Context()).Name, password)
	}
	if err == nil {
		http.Redirect(w, r, "/settings?done=password", http.StatusSeeOther)
		return nil
	}
	wrong := faultsOf(err, accountField)
	if errors.Is(err, registry.ErrForbidden) {
		wrong = faults{"old": {"The password you have is another one."}}
	}
	if early, ok := errors.AsType[waiter](err); ok {
		w.Header().Set("Retry-After", seconds(early.RetryAfter()))
		wrong = faults{"old": {"Too many wrong passwords. Try again in " + early.RetryAfter().String() + "."}}
	}
	if wrong == nil {
		return err
	}
	status, _ := refusal(err)
	return u.showSettings(w, r, settings{Faults: wrong}, status)
}

func (u *UI) endSessions(w http.ResponseWriter, r *http.Request) error {
	if err := u.Own.EndSessions(r.Context()); err != nil {
		return err
	}
	return u.signOut(w, r)
}

// accountField is the field that a pointer of an account belongs to.
func accountField(pointer string) string {
	switch pointer {
	case "/name", "/password", "/role":
		return pointer[1:]
	}
	return ""
}

// refusedByAccounts is the status and the words for what may not be done with an
// account or a token.
func refusedByAccounts(err error) (status int, text string) {
	_, early := errors.AsType[waiter](err)
	switch {
	case early:
		return http.StatusTooManyRequests, sentence(err)
	case errors.Is(err, registry.ErrForbidden):
		return http.StatusForbidden, sentence(err)
	case errors.Is(err, registry.ErrExists), errors.Is(err, registry.ErrLastAdmin):
		return http.StatusConflict, sentence(err)
	}
	return 0, ""
}

// settingsPages are the pages on who may do what.
func (u *UI) settingsPages() map[string]page {
	return map[string]page{
		"GET /settings":               u.settings,
		"POST /settings/password":     u.changePassword,
		"POST /settings/sessions/end": u.endSessions,

		"GET /settings/tokens":              u.tokens,
		"POST /settings/tokens":             u.createToken,
		"GET /settings/tokens/{id}/revoke":  u.askRevoke,
		"POST /settings/tokens/{id}/revoke": u.revoke,

		"GET /settings/rules":         u.ruleList,
		"POST /settings/rules":        u.arrangeRule,
		"GET /settings/rules/edit":    u.ruleForm,
		"POST /settings/rules/edit":   u.keepRule,
		"GET /settings/rules/delete":  u.askDeleteRule,
		"POST /settings/rules/delete": u.deleteRule,

		"GET /settings/defaults":  u.defaultsForm,
		"POST /settings/defaults": u.keepDefaults,

		"GET /settings/users":                u.users,
		"POST /settings/users":               u.createUser,
		"GET /settings/users/{name}":         u.userForm,
		"POST /settings/users/{name}":        u.changeUser,
		"GET /settings/users/{name}/delete":  u.askDeleteUser,
		"POST /settings/users/{name}/delete": u.deleteUser,
	}
}

// secretInput is a field for a password.
type secretInput struct{ Name, Label, Autocomplete string }
