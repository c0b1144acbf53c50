-- The index of trigrams keeps for each of them the machines that have it, and no more:
-- neither where in the text, which the text itself says, nor how many words that has,
-- which is for ranking. So it is a third as large. A node of an earlier version cannot
-- search until it is upgraded too.
DROP TABLE machine_trigrams;

CREATE VIRTUAL TABLE machine_trigrams USING fts5 (search, content = 'machines', content_rowid = 'row', tokenize = 'trigram', detail = none, columnsize = 0);

INSERT INTO machine_trigrams (machine_trigrams) VALUES ('rebuild');
