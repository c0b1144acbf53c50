package node

import (
	"database/sql"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/rqlite/rqlite/v8/db"
)

// What rqlite opens its database with keeps the statements it was given.
func TestStatementsAreKept(t *testing.T) {
	at := db.MakeDSN(filepath.Join(t.TempDir(), "db"), db.ModeReadWrite, false, true)
	opened, err := sql.Open(db.DefaultDriver().Name(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	conn, err := opened.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if _, err := conn.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS t (n INTEGER)"); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Raw(func(c any) error {
		if kept := reflect.ValueOf(c).Elem().FieldByName("stmtCache").Len(); kept != 1 {
			t.Errorf("%d statements are kept, want 1", kept)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
