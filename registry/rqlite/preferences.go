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
	return s.setting(ctx, settingPreferences+user)
}

// PutPreferences stores the document. The last one wins: it is one person's.
func (s *Store) PutPreferences(ctx context.Context, user string, doc []byte) error {
	return s.putSetting(ctx, settingPreferences+user, doc)
}

// setting is the document of a row of settings, empty where there is none.
func (s *Store) setting(ctx context.Context, name string) (doc []byte, err error) {
	rows, err := s.db.read(ctx, statement{
		name: "load " + name,
		sql:  `SELECT data FROM settings WHERE name = ?1 ->> '$'`,
		args: []any{text(name)},
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

// putSetting stores the document, whatever was there.
func (s *Store) putSetting(ctx context.Context, name string, doc []byte) error {
	return s.db.write(ctx, statement{
		name: "store " + name,
		sql: `INSERT INTO settings (name, version, data) VALUES (?1 ->> '$', 1, ?2 ->> '$')
			ON CONFLICT (name) DO UPDATE SET version = version + 1, data = excluded.data`,
		args: []any{text(name), text(string(doc))},
	})
}
