-- What has two characters is found by the trigrams that begin with them. So that there is
-- one for the last characters, too, the text that is searched ends with two separators. A
-- node of an earlier version that still runs writes it without them: what it writes last
-- is found by its first three characters, until it registers with a later one.
DROP TRIGGER machines_search;

DROP TABLE machine_trigrams;

UPDATE machines SET search = search || char(31, 31);

CREATE VIRTUAL TABLE machine_trigrams USING fts5 (search, content = 'machines', content_rowid = 'row', tokenize = 'trigram', detail = none, columnsize = 0);

INSERT INTO machine_trigrams (machine_trigrams) VALUES ('rebuild');

DELETE FROM machine_unindexed;

CREATE TRIGGER machines_search AFTER UPDATE OF search ON machines
	WHEN old.search <> new.search AND NOT EXISTS (SELECT 1 FROM machine_unindexed WHERE row = old.row) BEGIN
	INSERT INTO machine_trigrams (machine_trigrams, rowid, search) VALUES ('delete', old.row, old.search);
	INSERT INTO machine_trigrams (rowid, search) VALUES (new.row, new.search);
END;

CREATE VIRTUAL TABLE machine_vocabulary USING fts5vocab ('machine_trigrams', 'instance');
