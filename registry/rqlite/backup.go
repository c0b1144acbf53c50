package rqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"dragonfly/registry"
)

// Schema is the schema that this program makes of a database, and the newest it reads.
func Schema() int {
	steps, _ := migrations.ReadDir("migrations") // they are in the program
	return len(steps)
}

// Copy writes the database to w as a SQLite file, as it is at one moment.
func (s *Store) Copy(ctx context.Context, w io.Writer) error { return s.copy(ctx, w) }

// copyFrom asks an rqlite at base for a copy of its database.
func copyFrom(base string, client *http.Client) func(context.Context, io.Writer) error {
	patient := *client
	patient.Timeout = 0 // a large database takes its time; ctx ends it
	return func(ctx context.Context, w io.Writer) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/db/backup", nil)
		if err != nil {
			return fmt.Errorf("copy the database: %w", err)
		}
		resp, err := patient.Do(req)
		if err != nil {
			return fmt.Errorf("copy the database: %w: %w", registry.ErrUnavailable, err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
			return errors.New("copy the database: rqlite refuses it: give its user the permission \"backup\"")
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("copy the database: %w: %w", registry.ErrUnavailable, describe(resp).err)
		}
		if _, err := io.Copy(w, resp.Body); err != nil {
			return fmt.Errorf("copy the database: %w", err)
		}
		return nil
	}
}

// settingBackups is the row of settings with the last backups.
const settingBackups = "backups"

// Backups is what is known of the last backups.
func (s *Store) Backups(ctx context.Context) (b registry.Backups, err error) {
	doc, err := s.setting(ctx, settingBackups)
	if err != nil || len(bytes.TrimSpace(doc)) == 0 {
		return b, err
	}
	return b, json.Unmarshal(doc, &b)
}

// PutBackups stores what is known of the last backups.
func (s *Store) PutBackups(ctx context.Context, b registry.Backups) error {
	doc, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return s.putSetting(ctx, settingBackups, doc)
}
