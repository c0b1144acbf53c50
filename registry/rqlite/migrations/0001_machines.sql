-- Times are milliseconds since 1970 (0: never), since numbers travel as floats
-- and nanoseconds would not fit. Nothing is NULL: the client leaves the old value
-- in a variable that a NULL is read into. No column is a BOOLEAN, a BLOB or a
-- DATETIME: each of them comes back as something else than what was written.

-- A row is small, for lists read many: the whole hardware is in a table of its
-- own. Text in "operator" and "brief" is JSON.
CREATE TABLE machines (
	id            TEXT    NOT NULL PRIMARY KEY,
	name          TEXT    NOT NULL UNIQUE,
	state         TEXT    NOT NULL,
	reason        TEXT    NOT NULL,
	hostname      TEXT    NOT NULL,
	serial        TEXT    NOT NULL,
	uuid          TEXT    NOT NULL,
	vendor        TEXT    NOT NULL,
	model         TEXT    NOT NULL,
	arch          TEXT    NOT NULL,
	address       TEXT    NOT NULL,
	bmc           TEXT    NOT NULL,
	owner         TEXT    NOT NULL,
	locked        INTEGER NOT NULL,
	pending       TEXT    NOT NULL,
	created_ms    INTEGER NOT NULL,
	registered_ms INTEGER NOT NULL,
	deadline_ms   INTEGER NOT NULL,
	version       INTEGER NOT NULL,
	operator      TEXT    NOT NULL,
	brief         TEXT    NOT NULL
);

-- Filters and orders take A to Z for a to z, as NOCASE does. The name ends each
-- index, since it ends each order. Each index costs every write, so there is one
-- for both, and none of what most machines lack.
CREATE INDEX machines_state ON machines (state, name);

CREATE INDEX machines_serial ON machines (serial COLLATE NOCASE);

CREATE INDEX machines_uuid ON machines (uuid);

CREATE INDEX machines_vendor ON machines (vendor COLLATE NOCASE, name);

CREATE INDEX machines_model ON machines (model COLLATE NOCASE, name);

CREATE INDEX machines_created ON machines (created_ms, name);

CREATE INDEX machines_registered ON machines (registered_ms, name);

CREATE INDEX machines_owner ON machines (owner COLLATE NOCASE, name) WHERE owner <> '';

CREATE INDEX machines_deadline ON machines (deadline_ms) WHERE deadline_ms > 0;

CREATE TABLE machine_hardware (
	machine TEXT NOT NULL PRIMARY KEY,
	data    TEXT NOT NULL
);

CREATE TABLE machine_macs (
	mac      TEXT    NOT NULL PRIMARY KEY,
	machine  TEXT    NOT NULL,
	position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX machine_macs_machine ON machine_macs (machine, position);

-- In lower case, for filters; as they were written they are in "operator".
CREATE TABLE machine_tags (
	tag     TEXT NOT NULL,
	machine TEXT NOT NULL,
	PRIMARY KEY (tag, machine)
) WITHOUT ROWID;

CREATE INDEX machine_tags_machine ON machine_tags (machine);

CREATE TABLE machine_labels (
	key     TEXT NOT NULL,
	value   TEXT NOT NULL,
	machine TEXT NOT NULL,
	PRIMARY KEY (key, value, machine)
) WITHOUT ROWID;

CREATE INDEX machine_labels_machine ON machine_labels (machine);

-- What a bare word of a filter is looked for in, in lower case, with a separator
-- that no word has. The trigram index narrows; the text decides.
CREATE TABLE machine_search (
	id      INTEGER PRIMARY KEY,
	machine TEXT NOT NULL UNIQUE,
	text    TEXT NOT NULL
);

CREATE VIRTUAL TABLE machine_trigrams USING fts5 (text, content = 'machine_search', content_rowid = 'id', tokenize = 'trigram');

CREATE TRIGGER machine_search_insert AFTER INSERT ON machine_search BEGIN
	INSERT INTO machine_trigrams (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER machine_search_delete AFTER DELETE ON machine_search BEGIN
	INSERT INTO machine_trigrams (machine_trigrams, rowid, text) VALUES ('delete', old.id, old.text);
END;

CREATE TRIGGER machine_search_update AFTER UPDATE ON machine_search BEGIN
	INSERT INTO machine_trigrams (machine_trigrams, rowid, text) VALUES ('delete', old.id, old.text);
	INSERT INTO machine_trigrams (rowid, text) VALUES (new.id, new.text);
END;

-- Apart from machines, so that a sign of life rewrites nothing else.
CREATE TABLE machine_seen (
	id      TEXT    NOT NULL PRIMARY KEY,
	seen_ms INTEGER NOT NULL
) WITHOUT ROWID;

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

CREATE TABLE hardware_history (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	machine TEXT    NOT NULL,
	at_ms   INTEGER NOT NULL,
	data    TEXT    NOT NULL
);

CREATE INDEX hardware_history_machine ON hardware_history (machine, seq);

-- "before" and "after" are JSON, or empty.
CREATE TABLE audit (
	seq    INTEGER PRIMARY KEY AUTOINCREMENT,
	at_ms  INTEGER NOT NULL,
	actor  TEXT    NOT NULL,
	role   TEXT    NOT NULL,
	origin TEXT    NOT NULL,
	action TEXT    NOT NULL,
	object TEXT    NOT NULL,
	before TEXT    NOT NULL,
	after  TEXT    NOT NULL
);

CREATE INDEX audit_object ON audit (object, seq);

-- Documents there is one of: the rules on registration.
CREATE TABLE settings (
	name    TEXT    NOT NULL PRIMARY KEY,
	version INTEGER NOT NULL,
	data    TEXT    NOT NULL
);

-- The operations that were applied: each at most once.
CREATE TABLE ops (
	op    TEXT    NOT NULL PRIMARY KEY,
	at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX ops_at ON ops (at_ms);

CREATE TABLE secrets (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);
