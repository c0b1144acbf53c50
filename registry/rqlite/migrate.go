package rqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// migrations holds the history of the schema, NNNN_name.sql, one file a step.
// A file that was released is never changed; a step only adds, so that nodes of
// two versions can share a database during an upgrade.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migration is one step of the schema.
type migration struct {
	version    int // counts from 1 without a gap
	name       string
	statements []string
}

// errMigrated says that another node made the step while we tried.
var errMigrated = errors.New("already migrated")

// migrate brings the schema up to date. Two nodes may do this at once: a step
// and the record of it are one transaction, and the second record is refused.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := load(migrations)
	if err != nil {
		return err
	}
	have, err := s.schema(ctx)
	if err != nil {
		return err
	}
	if have > len(steps) {
		return fmt.Errorf("the database has schema %d and this program knows %d: it was used by a newer dragonfly; run that one", have, len(steps))
	}
	for _, step := range steps[have:] {
		err := s.step(ctx, step)
		if err != nil && !errors.Is(err, errMigrated) {
			return err
		}
		s.log.Info("database schema changed", "version", step.version, "name", step.name, "by_another_node", err != nil)
	}
	return nil
}

// schema returns the version of the last step that was made.
func (s *Store) schema(ctx context.Context) (have int, err error) {
	err = s.db.write(ctx, statement{name: "create schema table", sql: `CREATE TABLE IF NOT EXISTS schema_migrations (
		version INTEGER NOT NULL PRIMARY KEY,
		name    TEXT    NOT NULL,
		at_ms   INTEGER NOT NULL
	)`})
	if err != nil {
		return 0, err
	}
	rows, err := s.db.readLatest(ctx, statement{name: "read schema version", sql: `SELECT coalesce(max(version), 0) FROM schema_migrations`})
	if err != nil {
		return 0, err
	}
	return have, one(rows, &have)
}

func (s *Store) step(ctx context.Context, m migration) error {
	record := statement{
		name: "record schema " + m.name,
		sql:  `INSERT INTO schema_migrations (version, name, at_ms) VALUES (?1, ?2 ->> '$', ?3)`,
		args: []any{m.version, text(m.name), millis(time.Now())},
		lost: map[string]error{"UNIQUE constraint failed: schema_migrations.version": errMigrated},
	}
	batch := []statement{record}
	for _, sql := range m.statements {
		batch = append(batch, statement{name: "change schema to " + m.name, sql: sql})
	}
	return s.db.write(ctx, batch...)
}

// load reads the steps in their order.
func load(dir fs.FS) ([]migration, error) {
	names, err := fs.Glob(dir, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var steps []migration
	for i, path := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		if version, err := strconv.Atoi(number); err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %04d", path, i+1)
		}
		sql, err := fs.ReadFile(dir, path)
		if err != nil {
			return nil, err
		}
		steps = append(steps, migration{version: i + 1, name: name, statements: split(string(sql))})
	}
	return steps, nil
}

// split cuts a file where a line ends in a semicolon and an empty line follows.
func split(sql string) []string {
	var statements []string
	for part := range strings.SplitSeq(sql, ";\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			statements = append(statements, part)
		}
	}
	return statements
}
