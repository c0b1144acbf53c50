package rqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/rqlite/gorqlite"

	"dragonfly/registry"
)

// User returns the password hash and the role of the named user, or
// [registry.ErrNotFound].
func (s *Store) User(ctx context.Context, name string) (hash, role string, err error) {
	rows, err := s.db.read(ctx, statement{
		name: "load user",
		sql:  `SELECT password_hash, role FROM users WHERE name = ?1 ->> '$'`,
		args: []any{text(name)},
	})
	if err != nil {
		return "", "", err
	}
	err = one(rows, &hash, &role)
	return hash, role, err
}

// PutUser creates the user, or replaces its hash and role.
func (s *Store) PutUser(ctx context.Context, name, hash, role string) error {
	return s.db.write(ctx, statement{
		name: "store user",
		sql: `INSERT INTO users (name, password_hash, role, created_ms) VALUES (?1 ->> '$', ?2 ->> '$', ?3 ->> '$', ?4)
			ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role`,
		args: []any{text(name), text(hash), text(role), millis(time.Now())},
	})
}

// Users returns the names of all users, sorted.
func (s *Store) Users(ctx context.Context) ([]string, error) {
	rows, err := s.db.read(ctx, statement{name: "list users", sql: `SELECT name FROM users ORDER BY name`})
	if err != nil {
		return nil, err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

// Secret returns the named secret. Where there is none yet it stores a fresh one;
// of two nodes that do so at once both get the one that was stored first.
func (s *Store) Secret(ctx context.Context, name string, fresh func() (string, error)) (string, error) {
	value, err := s.secret(ctx, name)
	if err != registry.ErrNotFound {
		return value, err
	}
	value, err = fresh()
	if err != nil {
		return "", fmt.Errorf("make secret %s: %w", name, err)
	}
	err = s.db.write(ctx, statement{
		name: "store secret",
		sql:  `INSERT INTO secrets (name, value) VALUES (?1 ->> '$', ?2 ->> '$') ON CONFLICT (name) DO NOTHING`,
		args: []any{text(name), text(value)},
	})
	if err != nil {
		return "", err
	}
	return s.secret(ctx, name)
}

func (s *Store) secret(ctx context.Context, name string) (value string, err error) {
	rows, err := s.db.readLatest(ctx, statement{
		name: "load secret",
		sql:  `SELECT value FROM secrets WHERE name = ?1 ->> '$'`,
		args: []any{text(name)},
	})
	if err != nil {
		return "", err
	}
	err = one(rows, &value)
	return value, err
}

// one scans the only row, or returns [registry.ErrNotFound].
func one(rows *gorqlite.QueryResult, dest ...any) error {
	if !rows.Next() {
		return registry.ErrNotFound
	}
	return rows.Scan(dest...)
}
