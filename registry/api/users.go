package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// Accounts is who may sign in, their API tokens, and what they did. What it
// allows depends on the [registry.Actor] of the context.
type Accounts interface {
	Users
	APITokens
	Audit(ctx context.Context, object string, before int64, limit int) ([]registry.AuditEntry, error)
}

// Users is the accounts of operators. Its errors are those of the registry.
type Users interface {
	Accounts(ctx context.Context) ([]registry.Account, error)
	CreateAccount(ctx context.Context, name, password string, role registry.Role) error
	// ChangeAccount leaves what is empty as it is.
	ChangeAccount(ctx context.Context, name, password string, role registry.Role) error
	DeleteAccount(ctx context.Context, name string) error
	OwnAccount
}

// OwnAccount is what needs no role: the first account, and one's own.
type OwnAccount interface {
	Setup(ctx context.Context, token, name, password string) error
	ChangePassword(ctx context.Context, old, password string) error
	// EndSessions signs whoever asks out, in every browser.
	EndSessions(ctx context.Context) error
}

// User is an account on the wire.
type User struct {
	Name      string        `json:"name"`
	Role      registry.Role `json:"role" enum:"viewer,operator,admin"`
	Origin    string        `json:"origin" enum:"local,oidc" doc:"who checks the password: this server, or the identity provider"`
	CreatedAt time.Time     `json:"created_at"`
}

// UserChange is the body of PUT /api/v1/users/{name}. A new account needs a
// password, and is an administrator unless it says otherwise; what is left out
// of an existing one stays.
type UserChange struct {
	Password string        `json:"password,omitempty" doc:"10 to 256 characters"`
	Role     registry.Role `json:"role,omitempty" enum:"viewer,operator,admin"`
}

// Self is who asks.
type Self struct {
	Name string `json:"name" doc:"the account, or account/token"`
	Role string `json:"role"`
	From string `json:"from,omitempty" doc:"the address the request came from"`
}

func (s *Server) mountUsers(api huma.API) {
	tags := []string{"users"}
	huma.Register(api, huma.Operation{OperationID: "list-users", Method: http.MethodGet, Path: "/api/v1/users",
		Summary: "List the accounts", Tags: tags}, s.listUsers)
	huma.Register(api, huma.Operation{OperationID: "put-user", Method: http.MethodPut, Path: "/api/v1/users/{name}",
		Summary: "Create an account, or change its password or role", Tags: tags, MaxBodyBytes: maxForm,
		DefaultStatus: http.StatusNoContent, Errors: []int{403, 404, 409, 412, 422}}, s.putUser)
	huma.Register(api, huma.Operation{OperationID: "delete-user", Method: http.MethodDelete, Path: "/api/v1/users/{name}",
		Summary: "Delete an account, its sessions and its API tokens", Tags: tags, Errors: []int{404, 409, 503}}, s.deleteUser)
	huma.Register(api, huma.Operation{OperationID: "setup", Method: http.MethodPost, Path: "/api/v1/setup",
		Summary: "Make the first account, with the token of the setup link", Tags: tags, MaxBodyBytes: maxForm,
		DefaultStatus: http.StatusNoContent, Errors: []int{403, 422}, Security: public()}, s.setup)
	huma.Register(api, huma.Operation{OperationID: "get-self", Method: http.MethodGet, Path: "/api/v1/me",
		Summary: "Who you are", Tags: tags}, s.self)
	huma.Register(api, huma.Operation{OperationID: "put-own-password", Method: http.MethodPut, Path: "/api/v1/me/password",
		Summary: "Change your own password, which ends your sessions", Tags: tags, MaxBodyBytes: maxForm,
		DefaultStatus: http.StatusNoContent, Errors: []int{403, 422, 429}}, s.putOwnPassword)
	huma.Register(api, huma.Operation{OperationID: "end-own-sessions", Method: http.MethodDelete, Path: "/api/v1/me/sessions",
		Summary: "Sign yourself out in every browser; API tokens stay", Tags: tags, Errors: []int{404, 503}}, s.endOwnSessions)
	s.mountTokens(api)
	s.mountAudit(api)
}

// maxForm bounds a request about an account or a token.
const maxForm = 16 << 10

type usersOutput struct {
	Body struct {
		Users []User `json:"users"`
		Staleness
	}
}

func (s *Server) listUsers(ctx context.Context, _ *struct{}) (*usersOutput, error) {
	accounts, err := s.accounts.Accounts(ctx)
	if err != nil {
		return nil, s.refusal(err)
	}
	out := &usersOutput{}
	out.Body.Staleness = s.staleness()
	out.Body.Users = make([]User, 0, len(accounts))
	for _, a := range accounts {
		out.Body.Users = append(out.Body.Users, User(a))
	}
	return out, nil
}

type userInput struct {
	Name        string `path:"name" maxLength:"64" doc:"of the account" example:"ana"`
	IfMatch     string `header:"If-Match" enum:"*" doc:"* changes an account and never creates one"`
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"* creates an account and never changes one"`
	Body        UserChange
}

func (s *Server) putUser(ctx context.Context, in *userInput) (*struct{}, error) {
	err := registry.ErrNotFound
	if in.IfNoneMatch == "" {
		err = s.accounts.ChangeAccount(ctx, in.Name, in.Body.Password, in.Body.Role)
	}
	if errors.Is(err, registry.ErrNotFound) && in.IfMatch == "" {
		role := in.Body.Role
		if role == "" {
			role = registry.Admin
		}
		err = s.accounts.CreateAccount(ctx, in.Name, in.Body.Password, role)
	}
	if errors.Is(err, registry.ErrExists) && in.IfNoneMatch != "" {
		return nil, huma.Error412PreconditionFailed(err.Error())
	}
	if err != nil {
		return nil, inPath(s.refusal(err), "/name")
	}
	s.log.Info("account written", "user", in.Name, "by", registry.ActorOf(ctx).Name)
	return nil, nil
}

// inPath says that what is wrong at a pointer is in the path, and not in the body.
func inPath(err error, pointer string) error {
	if e, ok := errors.AsType[*Error](err); ok {
		for i, f := range e.Errors {
			if f.Pointer == pointer {
				e.Errors[i].In = "path"
			}
		}
	}
	return err
}

type userNameInput struct {
	Name string `path:"name" maxLength:"256" doc:"of the account" example:"ana"`
}

func (s *Server) deleteUser(ctx context.Context, in *userNameInput) (*struct{}, error) {
	if err := s.accounts.DeleteAccount(ctx, in.Name); err != nil {
		return nil, s.refusal(err)
	}
	s.log.Info("account deleted", "user", in.Name, "by", registry.ActorOf(ctx).Name)
	return nil, nil
}

// SetupRequest is the body of POST /api/v1/setup.
type SetupRequest struct {
	Token    string `json:"token" maxLength:"256" doc:"of the setup link"`
	Name     string `json:"name" maxLength:"64"`
	Password string `json:"password" doc:"10 to 256 characters"`
}

func (s *Server) setup(ctx context.Context, in *struct{ Body SetupRequest }) (*struct{}, error) {
	if err := s.accounts.Setup(ctx, in.Body.Token, in.Body.Name, in.Body.Password); err != nil {
		return nil, s.refusal(err)
	}
	s.log.Info("first account made", "user", in.Body.Name, "from", registry.ActorOf(ctx).From)
	return nil, nil
}

type selfOutput struct {
	Body Self
}

func (s *Server) self(ctx context.Context, _ *struct{}) (*selfOutput, error) {
	return &selfOutput{Body: Self(registry.ActorOf(ctx))}, nil
}

type passwordInput struct {
	Body struct {
		Old      string `json:"old" doc:"the password you have"`
		Password string `json:"password" doc:"10 to 256 characters"`
	}
}

func (s *Server) putOwnPassword(ctx context.Context, in *passwordInput) (*struct{}, error) {
	if err := s.accounts.ChangePassword(ctx, in.Body.Old, in.Body.Password); err != nil {
		return nil, s.refusal(err)
	}
	return nil, nil
}

func (s *Server) endOwnSessions(ctx context.Context, _ *struct{}) (*struct{}, error) {
	if err := s.accounts.EndSessions(ctx); err != nil {
		return nil, s.refusal(err)
	}
	return nil, nil
}

// refusal maps an error about accounts or tokens to its status.
func (s *Server) refusal(err error) error {
	if wait, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		return huma.ErrorWithHeaders(huma.Error429TooManyRequests(err.Error()),
			http.Header{"Retry-After": {fmt.Sprint(int(wait.RetryAfter().Seconds()))}})
	}
	switch {
	case errors.Is(err, registry.ErrForbidden):
		return huma.Error403Forbidden(err.Error())
	case errors.Is(err, registry.ErrExists), errors.Is(err, registry.ErrLastAdmin):
		return huma.Error409Conflict(err.Error())
	}
	return s.problem(err)
}

// Users lists the accounts.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	var reply struct {
		Users []User `json:"users"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/users", nil, &reply)
	return reply.Users, err
}

// CreateUser makes an account; one that exists is an [*Error] of status 412.
func (c *Client) CreateUser(ctx context.Context, name string, user UserChange) error {
	return c.putUserIf(ctx, "If-None-Match", name, user)
}

// ChangeUser changes an account; one that does not exist is an [*Error] of
// status 404.
func (c *Client) ChangeUser(ctx context.Context, name string, change UserChange) error {
	return c.putUserIf(ctx, "If-Match", name, change)
}

func (c *Client) putUserIf(ctx context.Context, condition, name string, user UserChange) error {
	req, err := c.request(ctx, http.MethodPut, "/api/v1/users/"+url.PathEscape(name), user)
	if err != nil {
		return err
	}
	req.Header.Set(condition, "*")
	resp, err := c.http().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp, nil)
}

// DeleteUser removes an account, its sessions and its API tokens.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/api/v1/users/"+url.PathEscape(name), nil, nil)
}

// Setup makes the first account with the token of the setup link.
func (c *Client) Setup(ctx context.Context, req SetupRequest) error {
	return c.do(ctx, http.MethodPost, "/api/v1/setup", req, nil)
}

// Self is who the client is to the server.
func (c *Client) Self(ctx context.Context) (Self, error) {
	var self Self
	err := c.do(ctx, http.MethodGet, "/api/v1/me", nil, &self)
	return self, err
}
