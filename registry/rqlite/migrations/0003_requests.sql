-- Requests with an idempotency key, by a hash of caller, route and key. The answer
-- is sealed, and empty while whoever owns the request carries it out.
CREATE TABLE requests (
	id       TEXT    NOT NULL PRIMARY KEY,
	request  TEXT    NOT NULL,
	op       TEXT    NOT NULL,
	owner    TEXT    NOT NULL,
	at_ms    INTEGER NOT NULL,
	until_ms INTEGER NOT NULL,
	answer   TEXT    NOT NULL
);

CREATE INDEX requests_at ON requests (at_ms);
