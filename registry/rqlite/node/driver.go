package node

import (
	"database/sql"
	"database/sql/driver"

	"github.com/mattn/go-sqlite3"
	"github.com/rqlite/rqlite/v8/db"
)

// rqliteDriver is the name by which rqlite opens its database.
const rqliteDriver = "rqlite-sqlite3"

// rqlite has SQLite prepare each statement anew: 0.8 ms of each transaction, and half of
// a small one. The driver keeps them where the data source says so, but that one rqlite
// makes itself. So the name is taken before rqlite takes it, which panics once, and uses
// what it finds there from then on.
func init() {
	sql.Register(rqliteDriver, preparing{&sqlite3.SQLiteDriver{ConnectHook: (*sqlite3.SQLiteConn).DBConfigNoCkptOnClose}}) // as rqlite has it
	defer func() { _ = recover() }()
	db.DefaultDriver()
}

// preparing is a driver whose connections keep the statements that they have prepared.
type preparing struct{ *sqlite3.SQLiteDriver }

// Open opens a connection. A write has some 15 statements, and one more for each number
// of machines that share a transaction, of which there are 64.
func (d preparing) Open(source string) (driver.Conn, error) {
	return d.SQLiteDriver.Open(source + "&_stmt_cache_size=96")
}
