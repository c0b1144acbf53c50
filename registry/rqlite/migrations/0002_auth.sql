-- Sessions by the SHA-256 of their id: a copy of this signs nobody in.
CREATE TABLE sessions (
	id         TEXT    NOT NULL PRIMARY KEY,
	expires_ms INTEGER NOT NULL,
	data       TEXT    NOT NULL
);

CREATE INDEX sessions_expires ON sessions (expires_ms);

-- Apart from the tokens, which are in the setting "accounts": a use is not worth
-- writing that anew.
CREATE TABLE token_uses (
	id      TEXT    NOT NULL PRIMARY KEY,
	used_ms INTEGER NOT NULL
);
