package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// APITokens is the tokens that act for accounts.
type APITokens interface {
	Tokens(ctx context.Context) ([]registry.Token, error)
	// CreateToken returns the token itself first: it is not kept.
	CreateToken(ctx context.Context, want registry.Token) (secret string, made registry.Token, err error)
	RevokeToken(ctx context.Context, id string) error
}

// Token is an API token on the wire. Secret is the token itself, and is there
// once: in the answer to the request that made it.
type Token struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Owner     string        `json:"owner"`
	Role      registry.Role `json:"role" enum:"viewer,operator,admin"`
	Scopes    []string      `json:"scopes,omitempty" doc:"the parts of the API that it is good for; all of them when left out"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
	UsedAt    time.Time     `json:"used_at,omitzero" doc:"the last use, within a minute"`
	Secret    string        `json:"token,omitempty" doc:"shown once; send it as Authorization: Bearer"`
}

// TokenRequest is the body of POST /api/v1/tokens.
type TokenRequest struct {
	Name      string        `json:"name" maxLength:"64"`
	Owner     string        `json:"owner,omitempty" maxLength:"256" doc:"the account it acts for; yourself when left out, and only an admin may name another"`
	Role      registry.Role `json:"role" enum:"viewer,operator,admin" doc:"at most the owner's, and yours"`
	Scopes    []string      `json:"scopes,omitempty" minItems:"1" maxItems:"64" doc:"the parts of the API that it is good for, such as metrics, or deployments for all below /api/v1/deployments; all of them when left out"`
	ExpiresAt time.Time     `json:"expires_at,omitzero" doc:"never when left out"`
}

func (s *Server) mountTokens(api huma.API) {
	tags := []string{"tokens"}
	huma.Register(api, huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: "/api/v1/tokens",
		Summary: "List your API tokens; an admin's list has everybody's", Tags: tags}, s.listTokens)
	huma.Register(api, huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: "/api/v1/tokens",
		Summary: "Make an API token, which is shown once", Tags: tags, MaxBodyBytes: maxForm,
		DefaultStatus: http.StatusCreated, Errors: []int{403, 409, 422}}, s.createToken)
	huma.Register(api, huma.Operation{OperationID: "revoke-token", Method: http.MethodDelete, Path: "/api/v1/tokens/{id}",
		Summary: "End an API token", Tags: tags, Errors: []int{404}}, s.revokeToken)
}

type tokensOutput struct {
	Body struct {
		Tokens []Token `json:"tokens"`
		Staleness
	}
}

func (s *Server) listTokens(ctx context.Context, _ *struct{}) (*tokensOutput, error) {
	tokens, err := s.accounts.Tokens(ctx)
	if err != nil {
		return nil, s.refusal(err)
	}
	out := &tokensOutput{}
	out.Body.Staleness = s.staleness()
	out.Body.Tokens = make([]Token, 0, len(tokens))
	for _, t := range tokens {
		out.Body.Tokens = append(out.Body.Tokens, tokenOf(t, ""))
	}
	return out, nil
}

type tokenOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Token
}

type createTokenInput struct {
	Body    TokenRequest
	RawBody []byte
}

// Resolve refuses null for the scopes: the schema lets it pass as left out, which would
// make a token for everything of one that was to be limited.
func (in *createTokenInput) Resolve(huma.Context) []error {
	var given struct {
		Scopes json.RawMessage `json:"scopes"`
	}
	if err := json.Unmarshal(in.RawBody, &given); err == nil && string(given.Scopes) == "null" {
		return []error{&huma.ErrorDetail{Location: "body.scopes", Message: "want at least one; leave it out for a token that is good for everything"}}
	}
	return nil
}

func (s *Server) createToken(ctx context.Context, in *createTokenInput) (*tokenOutput, error) {
	if registry.AppliedBefore(ctx) {
		return nil, huma.Error409Conflict("the token was made when this was asked for first, and was lost with the answer; revoke it and make another, with another " + keyHeader)
	}
	want := registry.Token{Name: in.Body.Name, Owner: in.Body.Owner, Role: in.Body.Role, Scopes: in.Body.Scopes, ExpiresAt: in.Body.ExpiresAt}
	secret, made, err := s.accounts.CreateToken(ctx, want)
	if err != nil {
		return nil, s.refusal(err)
	}
	s.log.Info("api token made", "token", made.ID, "owner", made.Owner, "role", made.Role, "by", registry.ActorOf(ctx).Name)
	return &tokenOutput{CacheControl: "no-store", Body: tokenOf(made, secret)}, nil
}

type tokenIDInput struct {
	ID string `path:"id" maxLength:"64" doc:"of the token, as it is listed" example:"k3v9q2m7xa"`
}

func (s *Server) revokeToken(ctx context.Context, in *tokenIDInput) (*struct{}, error) {
	if err := s.accounts.RevokeToken(ctx, in.ID); err != nil {
		return nil, s.refusal(err)
	}
	s.log.Info("api token revoked", "token", in.ID, "by", registry.ActorOf(ctx).Name)
	return nil, nil
}

func tokenOf(t registry.Token, secret string) Token {
	return Token{ID: t.ID, Name: t.Name, Owner: t.Owner, Role: t.Role, Scopes: t.Scopes,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, UsedAt: t.UsedAt, Secret: secret}
}

// Tokens lists the API tokens that whoever asks may manage.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var reply struct {
		Tokens []Token `json:"tokens"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/tokens", nil, &reply)
	return reply.Tokens, err
}

// CreateToken makes an API token; its Secret cannot be asked for again.
func (c *Client) CreateToken(ctx context.Context, req TokenRequest) (Token, error) {
	var reply Token
	err := c.do(ctx, http.MethodPost, "/api/v1/tokens", req, &reply)
	return reply, err
}

// RevokeToken ends an API token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(id), nil, nil)
}
