-- The deployment that is under way or was the last, and what the machine boots
-- instead of what its state says.
ALTER TABLE machines ADD COLUMN deployment TEXT NOT NULL DEFAULT '';

ALTER TABLE machines ADD COLUMN boot_next TEXT NOT NULL DEFAULT '';

-- "doc" is JSON, in it a sealed part; "progress" is JSON or empty, and is written by
-- itself.
CREATE TABLE deployments (
	row        INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	machine    TEXT    NOT NULL,
	state      TEXT    NOT NULL,
	os         TEXT    NOT NULL,
	batch      TEXT    NOT NULL,
	created_ms INTEGER NOT NULL,
	ended_ms   INTEGER NOT NULL,
	version    INTEGER NOT NULL,
	doc        TEXT    NOT NULL,
	progress   TEXT    NOT NULL DEFAULT ''
);

CREATE INDEX deployments_created ON deployments (created_ms, id);

CREATE INDEX deployments_machine ON deployments (machine, created_ms, id);

CREATE INDEX deployments_state ON deployments (state, created_ms, id);

CREATE INDEX deployments_os ON deployments (os, created_ms, id);

CREATE INDEX deployments_batch ON deployments (batch, created_ms, id) WHERE batch <> '';

CREATE INDEX deployments_ended ON deployments (ended_ms) WHERE ended_ms > 0;

-- Counted from 0 in each attempt without a gap: a number that is missing was
-- taken out.
CREATE TABLE deployment_lines (
	deployment TEXT    NOT NULL,
	attempt    INTEGER NOT NULL,
	n          INTEGER NOT NULL,
	at_ms      INTEGER NOT NULL,
	action     INTEGER NOT NULL,
	text       TEXT    NOT NULL,
	PRIMARY KEY (deployment, attempt, n)
) WITHOUT ROWID;

CREATE TRIGGER deployments_delete AFTER DELETE ON deployments BEGIN
	DELETE FROM deployment_lines WHERE deployment = old.id;
END;

CREATE TRIGGER machines_delete_deployments AFTER DELETE ON machines BEGIN
	DELETE FROM deployments WHERE machine = old.id;
END;

-- What was said of operating systems; those that come with a version are not here.
CREATE TABLE oses (
	id      TEXT    NOT NULL PRIMARY KEY,
	version INTEGER NOT NULL,
	doc     TEXT    NOT NULL
);
