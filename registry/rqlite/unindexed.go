package rqlite

import (
	"context"
	"fmt"
)

// A machine that is new is not in the index of trigrams at once (migration 0010): it is
// put down as unindexed, which costs next to nothing, and indexed together with others
// when nobody has anything to write, a rack that is switched on when it is through. A
// search reads those that are unindexed one by one, so there are never very many.
const (
	indexSome    = 256    // are worth a transaction when nobody writes
	indexMost    = 1000   // at once, which keeps others waiting some 6 ms
	maxUnindexed = 16_000 // with more, up to five times as many at once, while others wait
)

// index takes some machines into the index of trigrams, the oldest first. It can be done
// twice: they are taken from those that are unindexed in the same transaction.
func (d *database) index(ctx context.Context, most int) error {
	const oldest = `IN (SELECT row FROM machine_unindexed ORDER BY row LIMIT ?1)`
	return d.write(ctx,
		statement{name: "index machines", args: []any{most},
			sql: `INSERT INTO machine_trigrams (rowid, search) SELECT row, search FROM machines WHERE row ` + oldest},
		statement{name: "forget what is indexed", args: []any{most}, sql: `DELETE FROM machine_unindexed WHERE row ` + oldest})
}

// unindexed is how many machines are not in the index of trigrams.
func (d *database) unindexed(ctx context.Context) (n int, err error) {
	rows, err := d.read(ctx, statement{name: "count unindexed machines", sql: `SELECT count(*) FROM machine_unindexed`})
	if err != nil {
		return 0, err
	}
	return n, one(rows, &n)
}

// searchUnindexed is a query of the machines that are not in the index and have a part
// in the text that is searched.
func searchUnindexed(part string, b *builder) string {
	return "SELECT row FROM machines WHERE row IN (SELECT row FROM machine_unindexed) AND instr(search, " + b.text(part) + ") > 0"
}

// recount learns how many machines are unindexed: a server adds up its own, and others
// add some and index some.
func (s *Store) recount(ctx context.Context) error {
	n, err := s.db.unindexed(ctx)
	if err != nil {
		return fmt.Errorf("recount: %w", err)
	}
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	s.batch.unindexed = n
	return nil
}
