-- Times are milliseconds since 1970 (0: never), since numbers travel as floats
-- and nanoseconds would not fit. Nothing is NULL: the client leaves the old value
-- in a variable that a NULL is read into. No column is a BOOLEAN, a BLOB or a
-- DATETIME: each of them comes back as something else than what was written.

-- A row is small, for lists read many: the whole hardware is in a table of its
-- own. Text in "operator", "brief" and "macs" is JSON; "search" is what a bare word
-- of a filter is looked for in, in lower case, with a separator that no word has.
CREATE TABLE machines (
	row           INTEGER PRIMARY KEY,
	id            TEXT    NOT NULL UNIQUE,
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
	brief         TEXT    NOT NULL,
	macs          TEXT    NOT NULL,
	search        TEXT    NOT NULL
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

-- "at_ms" is when this hardware was recorded for the history; 0: it was not.
CREATE TABLE machine_hardware (
	row   INTEGER PRIMARY KEY,
	at_ms INTEGER NOT NULL,
	data  TEXT    NOT NULL
);

-- What the hardware was before. So most machines have no row here, and no hardware
-- is stored twice.
CREATE TABLE hardware_history (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	machine TEXT    NOT NULL,
	at_ms   INTEGER NOT NULL,
	data    TEXT    NOT NULL
);

CREATE INDEX hardware_history_machine ON hardware_history (machine, seq);

CREATE TRIGGER machine_hardware_update BEFORE UPDATE ON machine_hardware WHEN old.at_ms > 0 BEGIN
	INSERT INTO hardware_history (machine, at_ms, data)
		SELECT id, old.at_ms, old.data FROM machines WHERE row = old.row;
END;

-- Every address belongs to one machine.
CREATE TABLE machine_macs (
	mac     TEXT NOT NULL PRIMARY KEY,
	machine TEXT NOT NULL
) WITHOUT ROWID;

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

-- The trigram index narrows a search down; the text decides.
CREATE VIRTUAL TABLE machine_trigrams USING fts5 (search, content = 'machines', content_rowid = 'row', tokenize = 'trigram');

CREATE TRIGGER machines_insert AFTER INSERT ON machines BEGIN
	INSERT INTO machine_trigrams (rowid, search) VALUES (new.row, new.search);
END;

-- Apart from machines, so that a sign of life rewrites nothing else.
CREATE TABLE machine_seen (
	id      TEXT    NOT NULL PRIMARY KEY,
	seen_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What belongs to a machine goes when it goes or changes, and only then: a machine
-- that registers again mostly says the same.
CREATE TRIGGER machines_search AFTER UPDATE OF search ON machines WHEN old.search <> new.search BEGIN
	INSERT INTO machine_trigrams (machine_trigrams, rowid, search) VALUES ('delete', old.row, old.search);
	INSERT INTO machine_trigrams (rowid, search) VALUES (new.row, new.search);
END;

CREATE TRIGGER machines_macs AFTER UPDATE OF macs ON machines WHEN old.macs <> new.macs BEGIN
	DELETE FROM machine_macs WHERE mac IN (SELECT value FROM json_each(old.macs)) AND machine = old.id;
END;

CREATE TRIGGER machines_operator AFTER UPDATE OF operator ON machines WHEN old.operator <> new.operator BEGIN
	DELETE FROM machine_tags WHERE machine = old.id;
	DELETE FROM machine_labels WHERE machine = old.id;
END;

CREATE TRIGGER machines_delete AFTER DELETE ON machines BEGIN
	INSERT INTO machine_trigrams (machine_trigrams, rowid, search) VALUES ('delete', old.row, old.search);
	DELETE FROM machine_macs WHERE mac IN (SELECT value FROM json_each(old.macs)) AND machine = old.id;
	DELETE FROM machine_tags WHERE machine = old.id;
	DELETE FROM machine_labels WHERE machine = old.id;
	DELETE FROM machine_hardware WHERE row = old.row;
	DELETE FROM hardware_history WHERE machine = old.id;
	DELETE FROM machine_seen WHERE id = old.id;
END;

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
