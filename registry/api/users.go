package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Accounts creates operators' accounts.
type Accounts interface {
	Put(ctx context.Context, name, password, role string) error
}

// adminRole is the one role there is.
const adminRole = "admin"

func (s *Server) mountUsers(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "put-user", Method: http.MethodPut, Path: "/api/v1/users/{name}",
		Summary: "Create an administrator, or give one a new password", Tags: []string{"users"},
		DefaultStatus: http.StatusNoContent,
	}, s.putUser)
}

type userInput struct {
	Name string `path:"name" maxLength:"64"`
	Body UserRequest
}

func (s *Server) putUser(ctx context.Context, in *userInput) (*struct{}, error) {
	if err := s.accounts.Put(ctx, in.Name, in.Body.Password, adminRole); err != nil {
		return nil, s.problem(err)
	}
	s.log.Info("account written", "user", in.Name)
	return nil, nil
}
