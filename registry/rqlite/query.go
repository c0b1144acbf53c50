package rqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/rqlite/gorqlite"

	"dragonfly/registry"
)

// cursor is what a query found, a row at a time.
type cursor interface {
	// Next moves to the next row, and reports whether there is one.
	Next() bool
	// Scan reads the values of the row into strings and integers.
	Scan(dest ...any) error
}

// read runs a query and returns its rows.
func (d *database) read(ctx context.Context, s statement) (cursor, error) {
	if d.direct != nil {
		if found, err := d.ask(ctx, s); !errors.Is(err, errors.ErrUnsupported) {
			return found, err
		}
	}
	conn := d.weak
	if s.latest {
		conn = d.latest
	}
	ctx, rep := withReport(ctx)
	rows, err := conn.QueryOneParameterizedContext(ctx, gorqlite.ParameterizedStatement{Query: s.sql, Arguments: s.args})
	if err != nil {
		return nil, sortError(s, err, rep)
	}
	return &rows, nil
}

// readLatest is read, and sure to see every write that was acknowledged by any
// node.
func (d *database) readLatest(ctx context.Context, s statement) (cursor, error) {
	s.latest = true
	return d.read(ctx, s)
}

// ask is read without HTTP.
func (d *database) ask(ctx context.Context, s statement) (cursor, error) {
	rows, refused, err := d.direct.Query(ctx, s.sql, s.args, s.latest)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil, err
	case refused != "":
		return nil, sortError(s, &gorqlite.StatementError{Message: refused}, nil)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", s.name, registry.ErrUnavailable, err)
	}
	return &table{next: rows}, nil
}

// table is a [cursor] over rows in memory.
type table struct {
	row  []any
	next [][]any
}

func (t *table) Next() bool {
	if len(t.next) == 0 {
		return false
	}
	t.row, t.next = t.next[0], t.next[1:]
	return true
}

func (t *table) Scan(dest ...any) error {
	if len(dest) != len(t.row) {
		return fmt.Errorf("%d columns are read into %d variables", len(t.row), len(dest))
	}
	for i, value := range t.row {
		if err := assign(dest[i], value); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

func assign(dest, value any) error {
	switch value := value.(type) {
	case string:
		if dest, ok := dest.(*string); ok {
			*dest = value
			return nil
		}
	case int64:
		switch dest := dest.(type) {
		case *int64:
			*dest = value
			return nil
		case *int:
			*dest = int(value)
			return nil
		}
	}
	return fmt.Errorf("%T cannot be read into %T", value, dest)
}
