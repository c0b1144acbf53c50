package rqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rqlite/gorqlite"

	"dragonfly/registry"
)

// database sends statements to rqlite and sorts what comes back.
type database struct {
	weak   *gorqlite.Connection // reads from whoever believes to be the leader
	latest *gorqlite.Connection // reads after asking the others whether that is so
	direct Executor             // without HTTP; may be nil
}

// Executor is a node in this process that takes statements as they are, and not as
// HTTP requests. [errors.ErrUnsupported] means that it does not take this one, and
// any other error that it is not known whether it was applied.
type Executor interface {
	// Execute runs statements in one transaction. refused is what SQLite said of
	// the last of those that were tried, where it said no.
	Execute(ctx context.Context, sql []string, params [][]any) (tried int, refused string, err error)
	// Query runs one query; latest: and makes sure first that no newer node answers
	// otherwise. A value is a string, an int64, or of another type that is not used
	// here. refused is what SQLite said, where it said no.
	Query(ctx context.Context, sql string, params []any, latest bool) (rows [][]any, refused string, err error)
}

// statement is one SQL statement with its numbered parameters. Text parameters
// are made by [text] or another JSON encoding.
type statement struct {
	name string // what it does, for errors
	sql  string
	args []any
	lost map[string]error // what a refusal means here, by a part of SQLite's message

	latest bool // a query that is sure to see every write that was acknowledged by any node
}

// text is s as a parameter: JSON, to be read with `?1 ->> '$'`. A plain string
// that looks like x'4142' would arrive as a blob. What is not UTF-8 becomes U+FFFD.
func text(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}

// list is any slice as a parameter: JSON, to be read with json_each(?1).
func list[T any](values []T) (string, error) {
	b, err := json.Marshal(values)
	return string(b), err
}

// connect opens a connection per level of consistency, since the level belongs
// to the connection. It sends nothing. Discovery stays off: it would send us to
// the addresses the nodes have in their own network.
func connect(base string, client *http.Client, direct Executor) (*database, error) {
	if client == nil {
		return nil, errors.New("no HTTP client")
	}
	reporting := *client
	reporting.Transport = reporter{client.Transport}
	open := func(level string) (*gorqlite.Connection, error) {
		query := url.Values{"disableClusterDiscovery": {"true"}, "level": {level}}
		return gorqlite.OpenWithClient(base+"/?"+query.Encode(), &reporting)
	}
	weak, err := open("weak")
	if err != nil {
		return nil, err
	}
	latest, err := open("linearizable")
	return &database{weak, latest, direct}, err
}

// write runs the statements in one transaction.
func (d *database) write(ctx context.Context, statements ...statement) error {
	if d.direct != nil {
		if err := d.execute(ctx, statements); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	batch := make([]gorqlite.ParameterizedStatement, 0, len(statements))
	for _, s := range statements {
		batch = append(batch, gorqlite.ParameterizedStatement{Query: s.sql, Arguments: s.args})
	}
	ctx, rep := withReport(ctx)
	results, err := d.weak.WriteParameterizedContext(ctx, batch)
	if err != nil {
		return sortError(last(statements, len(results)), err, rep)
	}
	return complete(statements, len(results))
}

// execute is write without HTTP.
func (d *database) execute(ctx context.Context, statements []statement) error {
	sql, params := make([]string, len(statements)), make([][]any, len(statements))
	for i, s := range statements {
		sql[i], params[i] = s.sql, s.args
	}
	tried, refused, err := d.direct.Execute(ctx, sql, params)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return err
	case refused != "":
		return sortError(last(statements, tried), &gorqlite.StatementError{Message: refused}, nil)
	case err != nil:
		return fmt.Errorf("%s: %w: %w", last(statements, tried).name, registry.ErrUnavailable, err)
	}
	return complete(statements, tried)
}

// last is the statement that was refused, of those that were tried: rqlite stops
// there, so its result is the last.
func last(statements []statement, tried int) statement {
	return statements[max(0, min(tried, len(statements))-1)]
}

// complete is nil when every statement was answered.
func complete(statements []statement, answered int) error {
	if answered != len(statements) {
		return fmt.Errorf("%s: %d of %d statements were answered", statements[0].name, answered, len(statements))
	}
	return nil
}

// cannotWrite is what SQLite says when nothing is wrong with a statement and the
// host cannot carry it out.
var cannotWrite = []string{"database or disk is full", "disk I/O error", "attempt to write a readonly database", "database is locked"}

// sortError turns the failure of s into a lost race, [registry.ErrUnavailable],
// or a fault of our own.
func sortError(s statement, err error, rep *report) error {
	if refused, ok := errors.AsType[*gorqlite.StatementError](err); ok {
		for part, meaning := range s.lost {
			if strings.Contains(refused.Message, part) {
				return meaning
			}
		}
		if slices.ContainsFunc(cannotWrite, func(why string) bool { return strings.Contains(refused.Message, why) }) {
			return fmt.Errorf("%s: %w: %w", s.name, registry.ErrUnavailable, refused)
		}
		return fmt.Errorf("%s: %w", s.name, refused)
	}
	if rep.err != nil {
		err = rep.err // says the same without a list of peers
	}
	if rep.refused {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return fmt.Errorf("%s: %w: %w", s.name, registry.ErrUnavailable, err)
}
