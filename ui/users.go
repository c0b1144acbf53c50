package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dragonfly/registry"
)

// usersView is the accounts, and the form for another one.
type usersView struct {
	Users  []userView
	Name   string // typed
	Role   registry.Role
	Faults faults
}

type userView struct {
	registry.Account
	Created moment
	You     bool
}

// userForm is one account.
type userForm struct {
	registry.Account
	You    bool
	Tokens int
	Faults faults
}

// roleWords say what a role may do.
var roleWords = map[registry.Role]string{
	registry.Viewer:   "looks at everything",
	registry.Operator: "changes and installs machines",
	registry.Admin:    "also manages accounts, rules and the cluster",
}

func (u *UI) users(w http.ResponseWriter, r *http.Request) error {
	return u.showUsers(w, r, usersView{Role: registry.Operator}, http.StatusOK)
}

func (u *UI) showUsers(w http.ResponseWriter, r *http.Request, v usersView, status int) error {
	all, err := u.People.Accounts(r.Context())
	if err != nil {
		return err
	}
	now := time.Now()
	for _, a := range all {
		v.Users = append(v.Users, userView{a, moment{a.CreatedAt, now}, a.Name == registry.ActorOf(r.Context()).Name})
	}
	if len(all) == 0 {
		v.Role = registry.Admin // or nobody could make another
	}
	return render(w, r, status, usersPage(u.settingsFrame(r, "Users"), v))
}

func (u *UI) createUser(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	v := usersView{Name: strings.TrimSpace(r.PostFormValue("name")), Role: registry.Role(r.PostFormValue("role"))}
	err := u.People.CreateAccount(r.Context(), v.Name, r.PostFormValue("password"), v.Role)
	if err == nil {
		u.Log.Info("account written", "user", v.Name, "by", registry.ActorOf(r.Context()).Name)
		http.Redirect(w, r, "/settings/users", http.StatusSeeOther)
		return nil
	}
	if v.Faults = faultsOf(err, accountField); v.Faults == nil {
		return err
	}
	status, _ := refusal(err)
	return u.showUsers(w, r, v, status)
}

// account is the account that the path names.
func (u *UI) account(r *http.Request) (registry.Account, error) {
	name := r.PathValue("name")
	all, err := u.People.Accounts(r.Context())
	if err != nil {
		return registry.Account{}, err
	}
	for _, a := range all {
		if a.Name == name {
			return a, nil
		}
	}
	return registry.Account{}, &httpError{status: http.StatusNotFound, detail: fmt.Sprintf("There is no account %q; somebody may have deleted it.", cut(name, 40))}
}

func (u *UI) userForm(w http.ResponseWriter, r *http.Request) error {
	return u.showUser(w, r, nil, http.StatusOK)
}

func (u *UI) showUser(w http.ResponseWriter, r *http.Request, wrong faults, status int) error {
	a, err := u.account(r)
	if err != nil {
		return err
	}
	f := userForm{Account: a, You: a.Name == registry.ActorOf(r.Context()).Name, Faults: wrong}
	tokens, err := u.Tokens.Tokens(r.Context())
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Owner == a.Name {
			f.Tokens++
		}
	}
	if role := registry.Role(r.PostFormValue("role")); role != "" {
		f.Role = role
	}
	return render(w, r, status, userPage(u.settingsFrame(r, a.Name), f))
}

// changeUser gives an account another role or another password, whichever the form
// that was sent is for.
func (u *UI) changeUser(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	a, err := u.account(r)
	if err != nil {
		return err
	}
	role, password := registry.Role(r.PostFormValue("role")), r.PostFormValue("password")
	if r.PostForm.Has("password") && password == "" {
		return u.showUser(w, r, faults{"password": {"Want 10 to 256 characters."}}, http.StatusUnprocessableEntity)
	}
	if err = u.People.ChangeAccount(r.Context(), a.Name, password, role); err == nil {
		u.Log.Info("account written", "user", a.Name, "by", registry.ActorOf(r.Context()).Name)
		http.Redirect(w, r, "/settings/users", http.StatusSeeOther)
		return nil
	}
	wrong := faultsOf(err, accountField)
	if wrong == nil {
		return err
	}
	status, _ := refusal(err)
	return u.showUser(w, r, wrong, status)
}

func (u *UI) askDeleteUser(w http.ResponseWriter, r *http.Request) error {
	a, err := u.account(r)
	if err != nil {
		return err
	}
	text := "Whoever has it is signed out at once, and its API tokens are good no more. The audit log keeps what was done with it."
	if a.Origin == "oidc" {
		text += "\nIt signs in at the identity provider: while its groups give it a role, it is made again at the next sign-in."
	}
	return render(w, r, http.StatusOK, confirmation(u.settingsFrame(r, "Delete "+a.Name+"?"),
		question{Title: "Delete the account " + a.Name + "?", Text: text, Yes: "Delete " + a.Name, Action: r.URL.EscapedPath(), Back: "/settings/users/" + url.PathEscape(a.Name)}))
}

func (u *UI) deleteUser(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := u.People.DeleteAccount(r.Context(), name); err != nil {
		return err
	}
	u.Log.Info("account deleted", "user", name, "by", registry.ActorOf(r.Context()).Name)
	http.Redirect(w, r, "/settings/users", http.StatusSeeOther)
	return nil
}

// verb is what so many tokens do.
func verb(n int) string {
	if n == 1 {
		return "goes"
	}
	return "go"
}
