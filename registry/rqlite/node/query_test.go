package node_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry/rqlite/node"
)

func TestQueryBesideHTTP(t *testing.T) {
	n := start(t, t.TempDir())
	sql := []string{"CREATE TABLE a (n INTEGER, s TEXT)", "INSERT INTO a VALUES (?1, ?2)", "INSERT INTO a VALUES (?1, ?2)"}
	params := [][]any{nil, {int64(1<<53 + 1), "x'4142'"}, {2, "zwei\n"}}
	if _, refused, err := n.Execute(t.Context(), sql, params); refused != "" || err != nil {
		t.Fatal(refused, err)
	}
	for _, latest := range []bool{false, true} {
		rows, refused, err := n.Query(t.Context(), "SELECT n, s FROM a WHERE n >= ?1 ORDER BY s DESC", []any{2}, latest)
		want := [][]any{{int64(2), "zwei\n"}, {int64(1<<53 + 1), "x'4142'"}} // as they are: not as floats, not as blobs
		if refused != "" || err != nil || !reflect.DeepEqual(rows, want) {
			t.Errorf("latest %v: %v, %q, %v; want %v", latest, rows, refused, err, want)
		}
	}
	if _, refused, err := n.Query(t.Context(), "SELECT x FROM nowhere", nil, false); !strings.Contains(refused, "no such table") && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a query of no table: %q, %v", refused, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.Query(t.Context(), "SELECT 1", nil, false); !errors.Is(err, node.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}
