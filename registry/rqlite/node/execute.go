package node

import (
	"context"
	"errors"

	"github.com/rqlite/rqlite/v8/command/proto"
	"github.com/rqlite/rqlite/v8/store"
)

// Execute runs statements in one transaction, as POST /db/execute does, without
// their parameters becoming JSON and being read again: that was a fifth of a write.
// Parameters are strings, integers and bytes. Where SQLite refuses a statement, refused is
// what it says, of the last one that was tried. The error is
// [errors.ErrUnsupported] where the request must go by HTTP, since another node
// leads, or does by now, or a parameter is something else. The transaction may have
// been applied then, as after any other error.
//
// Of what the HTTP handler does besides, this leaves out only what it makes of
// random() and of times in SQL, which differ from node to node: do not use them.
func (n *Node) Execute(ctx context.Context, sql []string, params [][]any) (tried int, refused string, err error) {
	request, err := executeRequest(sql, params)
	if err != nil {
		return 0, "", err
	}
	type answer struct {
		results []*proto.ExecuteQueryResponse
		err     error
	}
	a, err := inside(ctx, n.gate, func() answer {
		results, _, err := n.store.Execute(request)
		return answer{results, err}
	})
	switch {
	case err != nil:
		return 0, "", err
	case errors.Is(a.err, store.ErrNotLeader) || a.err != nil && n.member != nil:
		return 0, "", errors.ErrUnsupported
	}
	return len(a.results), refusal(a.results), a.err
}

// refusal is what SQLite said of the last statement; rqlite stops at one that is
// refused.
func refusal(results []*proto.ExecuteQueryResponse) string {
	if len(results) == 0 {
		return ""
	}
	last := results[len(results)-1]
	if message := last.GetError(); message != "" {
		return message
	}
	return last.GetE().GetError()
}

func executeRequest(sql []string, params [][]any) (*proto.ExecuteRequest, error) {
	statements := make([]*proto.Statement, len(sql))
	for i := range sql {
		s, err := parameterized(sql[i], params[i])
		if err != nil {
			return nil, err
		}
		statements[i] = s
	}
	return &proto.ExecuteRequest{Request: &proto.Request{Transaction: true, Statements: statements}}, nil
}

// parameterized is a statement with its numbered parameters: strings, integers and bytes.
func parameterized(sql string, params []any) (*proto.Statement, error) {
	s := &proto.Statement{Sql: sql, Parameters: make([]*proto.Parameter, len(params))}
	for i, value := range params {
		p := &proto.Parameter{}
		switch value := value.(type) {
		case string:
			p.Value = &proto.Parameter_S{S: value}
		case []byte:
			p.Value = &proto.Parameter_Y{Y: value}
		case int64:
			p.Value = &proto.Parameter_I{I: value}
		case int:
			p.Value = &proto.Parameter_I{I: int64(value)}
		default:
			return nil, errors.ErrUnsupported
		}
		s.Parameters[i] = p
	}
	return s, nil
}
