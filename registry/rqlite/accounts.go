package rqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dragonfly/registry"
)

// settingAccounts is the row of settings that holds the accounts and API tokens,
// a document of registry/auth.
const settingAccounts = "accounts"

// Directory returns the document of the accounts and its version; nil when that
// is still known. Before the first write it is an empty object of version 0.
func (s *Store) Directory(ctx context.Context, known int64) (data []byte, version int64, err error) {
	rows, err := s.db.read(ctx, statement{
		name: "load accounts",
		sql:  `SELECT version, CASE version WHEN ?2 THEN '' ELSE data END FROM settings WHERE name = ?1 ->> '$'`,
		args: []any{text(settingAccounts), known},
	})
	if err != nil {
		return nil, 0, err
	}
	doc := "{}"
	if err := one(rows, &version, &doc); err != nil && err != registry.ErrNotFound {
		return nil, 0, fmt.Errorf("load accounts: %w", err)
	}
	if version == known {
		return nil, version, nil
	}
	return []byte(doc), version, nil
}

// PutDirectory replaces the document of the accounts, read at a version, together
// with change.
func (s *Store) PutDirectory(ctx context.Context, data []byte, read int64, change registry.Change) error {
	writes, err := plan(change)
	if err != nil {
		return fmt.Errorf("store accounts: %w", err)
	}
	err = s.db.write(ctx, slices.Concat(writes.statements(), putAccounts(change.Op, data, read))...)
	if err == errApplied {
		return nil
	}
	if lost, ok := errors.AsType[*registry.ConflictError](err); ok {
		_, lost.Stored, _ = s.Directory(ctx, -1) // for the message; without it the race is as lost
	}
	return err
}

// putAccounts replaces the document, guarded like a machine: see
// [checkVersion]. What was kept of tokens and people that are gone goes with them.
func putAccounts(op string, data []byte, read int64) []statement {
	return []statement{{
		name: "check accounts version",
		sql: `UPDATE ops SET at_ms = CASE coalesce((SELECT version FROM settings WHERE name = ?2 ->> '$'), 0)
			WHEN ?3 THEN at_ms END WHERE op = ?1 ->> '$'`,
		args: []any{text(op), text(settingAccounts), read},
		lost: map[string]error{"NOT NULL constraint failed: ops.at_ms": &registry.ConflictError{Object: settingAccounts, Read: read}},
	}, {
		name: "store accounts",
		sql: `INSERT INTO settings (name, version, data) VALUES (?1 ->> '$', ?2, ?3 -> '$')
			ON CONFLICT (name) DO UPDATE SET version = excluded.version, data = excluded.data`,
		args: []any{text(settingAccounts), read + 1, string(data)},
	}, {
		name: "forget uses of tokens that are gone",
		sql:  `DELETE FROM token_uses WHERE id NOT IN (SELECT key FROM json_each(?1, '$.tokens'))`,
		args: []any{string(data)},
	}, {
		name: "forget what people that are gone prefer",
		sql: `DELETE FROM settings WHERE name GLOB ?1 || '*'
			AND substr(name, length(?1) + 1) NOT IN (SELECT key FROM json_each(?2, '$.users'))`,
		args: []any{settingPreferences, string(data)},
	}}
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
func one(rows cursor, dest ...any) error {
	if !rows.Next() {
		return registry.ErrNotFound
	}
	return rows.Scan(dest...)
}
