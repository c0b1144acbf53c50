package node

import (
	"context"
	"errors"

	"github.com/rqlite/rqlite/v8/command/proto"
)

// Query runs one query, as POST /db/query does, without the rows becoming JSON and
// being read again: that was a third of a list, and half of a start. latest: the node
// makes sure first that it still leads, and answers from what was committed until now.
// A value is a string, an int64, a float64, a bool, a []byte, or nil.
//
// Where SQLite refuses the query, refused is what it says. The error is
// [errors.ErrUnsupported] where the request must go by HTTP: the node does not stand
// alone, or has no answer at this moment.
func (n *Node) Query(ctx context.Context, sql string, params []any, latest bool) (rows [][]any, refused string, err error) {
	if n.member != nil {
		return nil, "", errors.ErrUnsupported
	}
	request, err := queryRequest(sql, params, latest)
	if err != nil {
		return nil, "", err
	}
	type answer struct {
		results []*proto.QueryRows
		err     error
	}
	a, err := inside(ctx, n.gate, func() answer {
		results, _, err := n.store.Query(request)
		return answer{results, err}
	})
	switch {
	case err != nil:
		return nil, "", err
	case a.err != nil || len(a.results) != 1:
		return nil, "", errors.ErrUnsupported
	}
	return values(a.results[0]), a.results[0].GetError(), nil
}

func queryRequest(sql string, params []any, latest bool) (*proto.QueryRequest, error) {
	s, err := parameterized(sql, params)
	if err != nil {
		return nil, err
	}
	q := &proto.QueryRequest{Request: &proto.Request{Statements: []*proto.Statement{s}}, Level: proto.QueryRequest_QUERY_REQUEST_LEVEL_WEAK}
	if latest {
		q.Level = proto.QueryRequest_QUERY_REQUEST_LEVEL_LINEARIZABLE
	}
	return q, nil
}

func values(found *proto.QueryRows) [][]any {
	rows := make([][]any, len(found.GetValues()))
	for i, row := range found.GetValues() {
		rows[i] = make([]any, len(row.GetParameters()))
		for j, p := range row.GetParameters() {
			rows[i][j] = value(p)
		}
	}
	return rows
}

func value(p *proto.Parameter) any {
	switch v := p.GetValue().(type) {
	case *proto.Parameter_S:
		return v.S
	case *proto.Parameter_I:
		return v.I
	case *proto.Parameter_D:
		return v.D
	case *proto.Parameter_B:
		return v.B
	case *proto.Parameter_Y:
		return v.Y
	}
	return nil
}
