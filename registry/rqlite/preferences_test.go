package rqlite_test

import (
	"testing"

	"dragonfly/registry"
)

func TestPreferences(t *testing.T) {
	s := embedded(t, startNode(t, t.TempDir()))
	if doc, err := s.Preferences(t.Context(), "ana"); len(doc) > 0 || err != nil {
		t.Errorf("before any: %q, %v", doc, err)
	}
	for _, want := range []string{`{"a":"ü'\""}`, `{}`} {
		if err := s.PutPreferences(t.Context(), "ana", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if doc, err := s.Preferences(t.Context(), "ana"); string(doc) != want || err != nil {
			t.Errorf("%q, %v; want %q", doc, err, want)
		}
	}
	if doc, err := s.Preferences(t.Context(), "ben"); len(doc) > 0 || err != nil {
		t.Errorf("somebody else's: %q, %v", doc, err)
	}
	for read, doc := range []string{`{"users":{"ana":{},"ben":{}}}`, `{"users":{"ben":{}}}`} {
		if err := s.PutPreferences(t.Context(), "ben", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.PutDirectory(t.Context(), []byte(doc), int64(read), registry.Change{Op: doc}); err != nil {
			t.Fatal(err)
		}
		for user, there := range map[string]bool{"ana": read == 0, "ben": true} {
			if doc, err := s.Preferences(t.Context(), user); (len(doc) > 0) != there || err != nil {
				t.Errorf("after %d accounts: %s's are %q, %v", 2-read, user, doc, err)
			}
		}
	}
}
