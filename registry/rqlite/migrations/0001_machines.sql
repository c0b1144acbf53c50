-- Times are milliseconds since 1970 (0: never), since numbers travel as floats
-- and nanoseconds would not fit. Nothing is NULL: the client leaves the old value
-- in a variable that a NULL is read into. No column is a BOOLEAN, a BLOB or a
-- DATETIME: each of them comes back as something else than what was written.

CREATE TABLE machines (
	id            TEXT    NOT NULL PRIMARY KEY,
	name          TEXT    NOT NULL UNIQUE,
	state         TEXT    NOT NULL,
	reason        TEXT    NOT NULL,
	hostname      TEXT    NOT NULL,
	serial        TEXT    NOT NULL,
	uuid          TEXT    NOT NULL,
	address       TEXT    NOT NULL,
	pending       TEXT    NOT NULL,
	created_ms    INTEGER NOT NULL,
	registered_ms INTEGER NOT NULL,
	version       INTEGER NOT NULL,
	data          TEXT    NOT NULL
);

CREATE INDEX machines_state ON machines (state, name);

CREATE INDEX machines_serial ON machines (serial);

CREATE INDEX machines_uuid ON machines (uuid);

CREATE TABLE machine_macs (
	mac      TEXT    NOT NULL PRIMARY KEY,
	machine  TEXT    NOT NULL,
	position INTEGER NOT NULL
);

CREATE INDEX machine_macs_machine ON machine_macs (machine, position);

-- Apart from machines, so that a sign of life does not rewrite 4 kB of hardware.
CREATE TABLE machine_seen (
	id      TEXT    NOT NULL PRIMARY KEY,
	seen_ms INTEGER NOT NULL
);

-- AUTOINCREMENT never gives a number twice, not even after pruning.
CREATE TABLE events (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	at_ms   INTEGER NOT NULL,
	kind    TEXT    NOT NULL,
	machine TEXT    NOT NULL,
	mac     TEXT    NOT NULL,
	message TEXT    NOT NULL
);

CREATE INDEX events_machine ON events (machine, seq);

-- The operations that were applied: each at most once.
CREATE TABLE ops (
	op    TEXT    NOT NULL PRIMARY KEY,
	at_ms INTEGER NOT NULL
);

CREATE INDEX ops_at ON ops (at_ms);

CREATE TABLE users (
	name          TEXT    NOT NULL PRIMARY KEY,
	password_hash TEXT    NOT NULL,
	role          TEXT    NOT NULL,
	created_ms    INTEGER NOT NULL
);

CREATE TABLE secrets (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);
