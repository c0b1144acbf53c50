package rqlite

import (
	"context"
	"slices"
	"testing"

	"dragonfly/registry"
)

// sure is an [Executor] that has nothing, and notes which queries ask the other nodes.
type sure struct{ latest []bool }

func (*sure) Execute(_ context.Context, sql []string, _ [][]any) (int, string, error) {
	return len(sql), "", nil
}

func (s *sure) Query(_ context.Context, _ string, _ []any, latest bool) ([][]any, string, error) {
	s.latest = append(s.latest, latest)
	return nil, "", nil
}

func TestLatest(t *testing.T) {
	node := &sure{}
	s := &Store{db: &database{direct: node}}
	for _, latest := range []bool{false, true} {
		if _, err := s.Machines(t.Context(), registry.Query{IDs: []string{"m-1"}, Bare: true, Latest: latest}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []bool{false, true}; !slices.Equal(node.latest, want) {
		t.Errorf("the other nodes were asked: %v, want %v", node.latest, want)
	}
}
