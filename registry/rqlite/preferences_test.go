package rqlite_test

import "testing"

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
}
