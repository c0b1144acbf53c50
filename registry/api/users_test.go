package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/auth"
)

// office is the API as an actor sees it, whom the header X-Actor names as
// "name role": who that is gets decided before the API, and not here.
type office struct {
	*httptest.Server
	accounts *auth.Accounts
}

func newOffice(t *testing.T) *office {
	t.Helper()
	s := serve(t)
	return &office{Server: s.Server, accounts: s.accounts}
}

// asActor adds the header that names the actor.
type asActor string

func (a asActor) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("As", string(a))
	return http.DefaultTransport.RoundTrip(r)
}

func (o *office) as(actor string) *api.Client {
	return &api.Client{Base: o.URL, HTTP: &http.Client{Transport: asActor(actor)}}
}

// send sends a raw request as an admin called ana.
func (o *office) send(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, o.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := asActor("ana admin").RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const password = "correct horse battery"

func TestUsers(t *testing.T) {
	ctx, o := t.Context(), newOffice(t)
	admin := o.as("ana admin")
	for name, role := range map[string]registry.Role{"ana": registry.Admin, "bob": registry.Viewer} {
		if err := admin.CreateUser(ctx, name, api.UserChange{Password: password, Role: role}); err != nil {
			t.Fatal(err)
		}
	}
	for what, try := range map[string]struct {
		err    error
		status int
	}{
		"create one that exists":       {admin.CreateUser(ctx, "bob", api.UserChange{Password: password}), 412},
		"change one that does not":     {admin.ChangeUser(ctx, "eve", api.UserChange{Password: password}), 404},
		"change nothing":               {admin.ChangeUser(ctx, "bob", api.UserChange{}), 422},
		"a role there is not":          {admin.ChangeUser(ctx, "bob", api.UserChange{Role: "root"}), 422},
		"a short password":             {admin.ChangeUser(ctx, "bob", api.UserChange{Password: "short"}), 422},
		"demote the last admin":        {admin.ChangeUser(ctx, "ana", api.UserChange{Role: registry.Viewer}), 409},
		"delete the last admin":        {admin.DeleteUser(ctx, "ana"), 409},
		"delete one that is not there": {admin.DeleteUser(ctx, "eve"), 404},
		"set up again":                 {admin.Setup(ctx, api.SetupRequest{Token: o.accounts.SetupToken(), Name: "eve", Password: password}), 403},
		"change a role":                {admin.ChangeUser(ctx, "bob", api.UserChange{Role: registry.Operator}), 0},
	} {
		if api.Status(try.err) != try.status {
			t.Errorf("%s: %v, want %d", what, try.err, try.status)
		}
	}
	users, err := admin.Users(ctx)
	if err != nil || len(users) != 2 || users[1].Name != "bob" || users[1].Role != registry.Operator || users[1].Origin != "local" {
		t.Errorf("users: %+v, %v", users, err)
	}
	if err := admin.DeleteUser(ctx, "bob"); err != nil {
		t.Error(err)
	}
	if self, err := o.as("bob viewer").Self(ctx); err != nil || self != (api.Self{Name: "bob", Role: "viewer", From: "10.0.0.9"}) {
		t.Errorf("self: %+v, %v", self, err)
	}
	entries, err := admin.Audit(ctx, api.AuditQuery{Object: "account/bob", Limit: 2})
	if err != nil || len(entries) != 2 || entries[0].Action != "account.delete" || string(entries[1].After) != `{"origin":"local","role":"operator"}` {
		t.Fatalf("audit: %+v, %v", entries, err)
	}
	if older, err := admin.Audit(ctx, api.AuditQuery{Object: "account/bob", Before: entries[1].ID}); err != nil || len(older) != 1 || older[0].Action != "account.create" {
		t.Errorf("the page before: %+v, %v", older, err)
	}
}

func TestTokens(t *testing.T) {
	ctx, o := t.Context(), newOffice(t)
	admin, bob := o.as("ana admin"), o.as("bob operator")
	for name, role := range map[string]registry.Role{"ana": registry.Admin, "bob": registry.Operator} {
		if err := admin.CreateUser(ctx, name, api.UserChange{Password: password, Role: role}); err != nil {
			t.Fatal(err)
		}
	}
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made, err := bob.CreateToken(ctx, api.TokenRequest{Name: "ci", Role: registry.Operator, ExpiresAt: ends})
	if err != nil || !strings.HasPrefix(made.Secret, "df_") || made.Owner != "bob" || !made.ExpiresAt.Equal(ends) {
		t.Fatalf("made %+v, %v", made, err)
	}
	for what, try := range map[string]struct {
		req    api.TokenRequest
		status int
	}{
		"a name twice":       {api.TokenRequest{Name: "ci", Role: registry.Viewer}, 409},
		"more than he may":   {api.TokenRequest{Name: "a", Role: registry.Admin}, 403},
		"for ana":            {api.TokenRequest{Name: "a", Role: registry.Viewer, Owner: "ana"}, 403},
		"without a role":     {api.TokenRequest{Name: "a"}, 422},
		"that ended already": {api.TokenRequest{Name: "a", Role: registry.Viewer, ExpiresAt: ends.Add(-2 * time.Hour)}, 422},
	} {
		if _, err := bob.CreateToken(ctx, try.req); api.Status(err) != try.status {
			t.Errorf("a token %s: %v, want %d", what, err, try.status)
		}
	}
	for _, scopes := range []string{"[]", "null"} {
		body := `{"name":"a","role":"viewer","scopes":` + scopes + `}`
		if code, body := o.send(t, http.MethodPost, "/api/v1/tokens", body); code != 422 || !strings.Contains(body, "/scopes") {
			t.Errorf("a token that is limited to %s: %d %s", scopes, code, body)
		}
	}
	list, err := bob.Tokens(ctx)
	if err != nil || len(list) != 1 || list[0].ID != made.ID || list[0].Secret != "" {
		t.Errorf("list: %+v, %v", list, err)
	}
	if err := o.as("eve viewer").RevokeToken(ctx, made.ID); api.Status(err) != http.StatusNotFound {
		t.Errorf("eve revokes bob's: %v", err)
	}
	if err := admin.RevokeToken(ctx, made.ID); err != nil {
		t.Errorf("ana revokes bob's: %v", err)
	}
}

func TestOwnPassword(t *testing.T) {
	o := newOffice(t)
	if code, body := o.send(t, http.MethodPut, "/api/v1/users/ana", `{"password":"`+password+`"}`); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}
	for _, try := range []struct {
		body string
		code int
	}{
		{`{"old":"wrong horse battery","password":"another horse"}`, 403},
		{`{"old":"` + password + `","password":"short"}`, 422},
		{`{"old":"` + password + `","password":"another horse"}`, 204},
		{`{"old":"` + password + `","password":"another horse"}`, 403},
	} {
		if code, body := o.send(t, http.MethodPut, "/api/v1/me/password", try.body); code != try.code {
			t.Errorf("%s: %d %s, want %d", try.body, code, body, try.code)
		}
	}
	for range 8 {
		o.send(t, http.MethodPut, "/api/v1/me/password", `{"old":"wrong horse battery","password":"another horse"}`)
	}
	if code, body := o.send(t, http.MethodPut, "/api/v1/me/password", `{"old":"another horse","password":"a third horse"}`); code != http.StatusTooManyRequests {
		t.Errorf("after many wrong ones: %d %s", code, body)
	}
}

func TestBadInputAboutAccounts(t *testing.T) {
	o := newOffice(t)
	for _, try := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"PUT", "/api/v1/users/ana", `{"password":7}`, 422, `"in":"body","pointer":"/password"`},
		{"PUT", "/api/v1/users/ana", `{"pasword":"` + password + `"}`, 422, `"in":"body","pointer":"/pasword"`},
		{"PUT", "/api/v1/users/ana", `{"password":"` + password + `","role":["admin"]}`, 422, `"in":"body","pointer":"/role"`},
		{"PUT", "/api/v1/users/A%27;--", `{"password":"` + password + `"}`, 422, `"in":"path","pointer":"/name"`},
		{"PUT", "/api/v1/users/ana", `{"password":`, 400, ""},
		{"PUT", "/api/v1/users/ana", `{"password":"` + strings.Repeat("x", 1<<20) + `"}`, 413, ""},
		{"PUT", "/api/v1/users/ana", "{\"password\":\"\xff\xfe horse battery\",\"role\":\"\xff\"}", 400, "byte 13 is not UTF-8"},
		{"POST", "/api/v1/tokens", `{"name":"a","role":"viewer","expires_at":"tomorrow"}`, 422, `"in":"body","pointer":"/expires_at"`},
		{"POST", "/api/v1/tokens", `{"role":"viewer"}`, 422, "name"},
		{"POST", "/api/v1/setup", `{"token":1,"name":"ana","password":"x"}`, 422, `"in":"body","pointer":"/token"`},
		{"GET", "/api/v1/audit?limit=0", "", 422, `"in":"query","pointer":"/limit"`},
		{"GET", "/api/v1/audit?limit=1001", "", 422, `"in":"query","pointer":"/limit"`},
		{"GET", "/api/v1/audit?before=x", "", 422, `"in":"query","pointer":"/before"`},
		{"GET", "/api/v1/audit?object=x%27%3B--", "", 200, `"entries":[]`},
	} {
		code, body := o.send(t, try.method, try.path, try.body)
		if code != try.code || !strings.Contains(body, try.says) {
			t.Errorf("%s %s %.60s: %d %.300s, want %d about %s", try.method, try.path, try.body, code, body, try.code, try.says)
		}
	}
	if list, err := o.accounts.Accounts(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("an account was made: %+v, %v", list, err)
	}
}
