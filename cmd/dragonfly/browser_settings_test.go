package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

const phrase = "correct horse battery"

// submit presses the button in a form.
func submit(form string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(form + " button.btn"))
}

func fill(field, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SetValue(chromedp.CSS("#"+field), text)
}

// signIn signs an account in, and arrives at what was asked for.
func signIn(w *uitest.Window, page, name string) {
	w.Do(chromedp.Navigate(page), chromedp.WaitVisible(chromedp.CSS("#password")), fill("name", name), fill("password", phrase), submit("form.panel"), chromedp.WaitVisible(chromedp.CSS(".who")))
}

// The first account is made in the settings, and from then on everybody signs in; it
// makes others, gives them roles, and cannot leave nobody behind who may.
func TestUsersInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/settings"))
	w.Says("main", "No account exists yet")
	w.Do(chromedp.Navigate(f.url+"/settings/users"), fill("name", "Ana"), fill("password", "short"), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS("#name-why")))
	w.Says("#password-why", "want 10 to 256 characters")
	w.Wait(`document.querySelector("#name").value === "Ana" && document.querySelector("#password").value === ""`)
	w.Do(fill("name", "ana"), fill("password", phrase), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS("form.panel")))
	signIn(w, f.url+"/settings/users", "ana")
	w.Do(fill("name", "ben"), fill("role", "viewer"), fill("password", phrase), submit("form.narrow"))
	w.Says("table", "ben")
	w.Do(fill("name", "ben"), fill("password", phrase), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS(".fault")))
	w.Says(".fault", "exists already")
	w.Do(chromedp.Navigate(f.url+"/settings/users/ana"), fill("role", "viewer"), submit("form.card"), chromedp.WaitVisible(chromedp.CSS(".fault")))
	w.Says(".fault", "last administrator")
	w.Do(chromedp.Navigate(f.url+"/settings/users/ben"), fill("role", "operator"), submit("form.card"), chromedp.WaitVisible(chromedp.CSS("table")))
	w.Says("table", "operator")
	w.Do(chromedp.Navigate(f.url+"/settings/users/ben/delete"), submit(".ask"), chromedp.WaitVisible(chromedp.CSS("table")))
	w.Wait(`!document.querySelector("table").textContent.includes("ben")`)
	w.Do(chromedp.Navigate(f.url + "/settings/users/ben"))
	w.Says("main", "There is no account")
}

// A token is shown once and acts for whoever made it, until it is revoked.
func TestTokensInBrowser(t *testing.T) {
	f := newOffice(t)
	f.run(t, phrase+"\n", "user", "create", "ana", "--role", "operator", "--password-stdin")
	w := uitest.New(t)
	signIn(w, f.url+"/settings/tokens", "ana")
	w.Wait(`[...document.querySelectorAll("#role option")].map((o) => o.value).join() === "viewer,operator"`)
	w.Do(fill("name", "two words"), fill("role", "operator"), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS("#name-why")))
	w.Wait(`document.querySelector("#name").value === "two words" && document.querySelector("#role").value === "operator"`)
	w.Do(fill("name", "backup"), fill("scopes", ", ,"), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS("#scopes-why")))
	w.Says("#scopes-why", `", ," is none of`)
	w.Do(fill("scopes", "me, machine"), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS("#scopes-why")))
	w.Says("#scopes-why", `"machine" is none of`)
	w.Do(fill("scopes", "me, machines"), submit("form.narrow"), chromedp.WaitVisible(chromedp.CSS("#secret")))
	secret, err := chromedp.Run(w.Context, chromedp.Evaluate[string](`document.querySelector("#secret code").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/v1/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if got := ask(); got != http.StatusOK {
		t.Errorf("the token is answered %d", got)
	}
	w.Do(chromedp.Navigate(f.url + "/settings/tokens"))
	w.Says("table", "backup")
	w.Says("table", "only machines, me")
	w.Wait(`!document.querySelector("main").textContent.includes("df_")`)
	w.Do(chromedp.Click(chromedp.CSS("td.does a")), submit(".ask"), chromedp.WaitVisible(chromedp.CSS("form.narrow")))
	w.Says("main", "There is no API token")
	if got := ask(); got != http.StatusUnauthorized {
		t.Errorf("a revoked token is answered %d", got)
	}
	w.Do(chromedp.Navigate(f.url + "/settings/users"))
	w.Says("main", "This needs the role admin; ana has the role operator")
}

// Whoever changes their password stays signed in here, and nowhere else.
func TestOwnAccountInBrowser(t *testing.T) {
	f := newOffice(t)
	f.run(t, phrase+"\n", "user", "create", "ana", "--password-stdin")
	here, there := uitest.New(t), uitest.New(t)
	signIn(here, f.url+"/settings", "ana")
	signIn(there, f.url+"/settings", "ana")
	change := func(old, password, again string) {
		here.Do(fill("old", old), fill("password", password), fill("again", again), submit("form[action$=password]"))
	}
	change("wrong horse battery", "another phrase", "another phrase")
	here.Says("#old-why", "another one")
	change(phrase, "another phrase", "anothr phrase")
	here.Says("#again-why", "another one than above")
	change(phrase, "another phrase", "another phrase")
	here.Says(".note.good", "Your password was changed")
	there.Do(chromedp.Navigate(f.url+"/settings"), chromedp.WaitVisible(chromedp.CSS("form.panel")))
	here.Do(fill("theme", "dark"))
	here.Eval(`document.querySelector("#theme").dispatchEvent(new Event("change"))`)
	here.Wait(`document.documentElement.dataset.bsTheme === "dark" && document.querySelector(".tool[x-data]").title === "Theme: dark"`)
	here.Do(submit("form[action$=end]"), chromedp.WaitVisible(chromedp.CSS("form.panel")))
}

// A form that lacks what it should have, or has it twice, changes nothing.
func TestSettingsBadForms(t *testing.T) {
	f := newOffice(t)
	for _, c := range []struct {
		path, says string
		form       url.Values
		status     int
	}{
		{"/settings/users", "letter, then up to 31 letters", url.Values{}, 422},
		{"/settings/users", "want viewer, operator or admin", url.Values{"name": {"ana"}, "role": {"root", "admin"}, "password": {phrase}}, 422},
		{"/settings/users/nobody", "There is no account", url.Values{"role": {"admin"}}, 404},
		{"/settings/tokens", "A token acts for an account", url.Values{"name": {"x"}}, 422},
		{"/settings/tokens", "A token acts for an account", url.Values{"name": {"x"}, "role": {"admin"}, "days": {"0"}}, 422},
		{"/settings/tokens/none/revoke", "not found", url.Values{}, 404},
		{"/settings/users/nobody/delete", "not found", url.Values{}, 404},
		{"/settings/sessions/end", "not found", url.Values{}, 404},
	} {
		if status, body := f.post(t, f.url+c.path, c.form); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %v: %d, want %d and %q: %s", c.path, c.form, status, c.status, c.says, body[max(0, strings.Index(body, "<main")):])
		}
	}
}

// The settings are for everybody.
func TestSettingsAreAccessible(t *testing.T) {
	f := newOffice(t)
	f.run(t, phrase+"\n", "user", "create", "ana", "--password-stdin")
	w := uitest.New(t)
	signIn(w, f.url+"/settings", "ana")
	for _, page := range settingsPages {
		w.Accessible(f.url + page)
	}
	w.Do(chromedp.Navigate(f.url + "/settings"))
	w.Clean(f.url)
}

var settingsPages = []string{"/settings", "/settings/tokens", "/settings/users", "/settings/users/ana"}

// A page of which a part is read again says when that fails, and when it is back; what
// is switched off by choice is not red; a machine is edited and deployed to by key.
func TestStaleAndKeysInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/health"))
	w.Says("[aria-label='Network boots'] [data-lamp=off]", "switched off")
	w.Wait(`!document.querySelector(".note.warn").checkVisibility()`)
	for _, page := range []string{"/health", "/systems"} {
		w.Do(chromedp.Navigate(f.url + page))
		w.Eval(`window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError("cut"))`)
		w.Wait(`document.querySelector(".note.warn").checkVisibility()`)
		w.Says(".note.warn", "Live updates lost since ")
		w.Eval(`window.fetch = window.real`)
		w.Wait(`!document.querySelector(".note.warn").checkVisibility()`)
	}
	for key, field := range map[string]string{"e": "#owner", "d": "#os"} {
		w.Do(chromedp.Navigate(f.url+"/machines/"+f.m.ID), chromedp.WaitVisible(chromedp.CSS("#machine")))
		w.Eval(fmt.Sprintf("document.dispatchEvent(new KeyboardEvent('keydown', {key: %q}))", key))
		w.Wait(fmt.Sprintf("!!document.querySelector(%q)", "form "+field))
	}
}

// A session that ends while a form is filled in costs nothing that was typed.
func TestSessionEndsInFormInBrowser(t *testing.T) {
	f := newOffice(t)
	f.run(t, phrase+"\n", "user", "create", "ana", "--password-stdin")
	w := uitest.New(t)
	edit := f.url + "/machines/" + f.m.ID + "/edit"
	signIn(w, edit, "ana")
	w.Do(fill("owner", "ben <b>"), fill("note", "\none line\nanother"))
	w.Eval(`fetch("/logout", {method: "POST"}).then(() => window.out = true)`)
	w.Wait(`window.out === true`)
	w.Do(chromedp.Click(chromedp.CSS("main .btn-primary")), chromedp.WaitVisible(chromedp.CSS("#kept")))
	w.Says("#kept", "what you typed is kept")
	w.AccessibleHere()
	w.Eval(`fetch("/login", {method: "POST", body: new URLSearchParams({name: "ana", password: "` + phrase + `"})}).then(() => window.back = true)`)
	w.Wait(`window.back === true`)
	w.Do(chromedp.Click(chromedp.CSS("#kept .btn-primary")), chromedp.WaitVisible(chromedp.CSS(".fault")))
	w.Wait(`document.querySelector("#owner").value === "ben <b>" && document.querySelector("#note").value.includes("one line\nanother")`)
	w.Do(fill("owner", "ben"), chromedp.Click(chromedp.CSS("main .btn-primary")), chromedp.WaitVisible(chromedp.CSS("#machine")))
	w.Says("#machine", "ben")
}
