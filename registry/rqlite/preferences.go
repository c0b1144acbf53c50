package rqlite

import (
	"context"
	"errors"

	"dragonfly/registry"
)

// settingPreferences begins the names of the settings with what people prefer.
const settingPreferences = "preferences of "

// Preferences is the document of what somebody prefers, empty where there is none. It is
// looked at by nobody but whoever wrote it.
func (s *Store) Preferences(ctx context.Context, user string) (doc []byte, err error) {
	rows, err := s.db.read(ctx, statement{
		name: "load preferences",
		sql:  `SELECT data FROM settings WHERE name = ?1 ->> '$'`,
		args: []any{text(settingPreferences + user)},
	})
	if err != nil {
		return nil, err
	}
	var data string
	if err := one(rows, &data); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, err
	}
	return []byte(data), nil
}

// PutPreferences stores the document. The last one wins: it is one person's.
func (s *Store) PutPreferences(ctx context.Context, user string, doc []byte) error {
	return s.db.write(ctx, statement{
		name: "store preferences",
		sql: `INSERT INTO settings (name, version, data) VALUES (?1 ->> '$', 1, ?2 ->> '$')
			ON CONFLICT (name) DO UPDATE SET version = version + 1, data = excluded.data`,
		args: []any{text(settingPreferences + user), text(string(doc))},
	})
}
