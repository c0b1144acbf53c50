package registry

import (
	"fmt"
	"testing"
)

func TestClaim(t *testing.T) {
	x := NewIndex()
	text, passedOver := fillName("node-{n:3}", Registration{})
	if passedOver != "" {
		t.Fatal(passedOver)
	}
	put := func(id, name string, version int64) { x.put(Machine{ID: id, Name: name, Version: version}) }
	for i := 1; i <= 100; i++ {
		put(fmt.Sprint("m-", i), fmt.Sprintf("node-%03d", i), 1)
	}
	want := func(what, id string, passOver int, name string) {
		t.Helper()
		if got := x.claim(id, text, passOver); got != name {
			t.Errorf("%s: %s, want %s", what, got, name)
		}
	}
	want("the lowest", "m-a", 0, "node-101")
	want("claimed", "m-b", 0, "node-102")
	want("again", "m-a", 0, "node-101")
	want("passed over", "m-c", 2, "node-105")
	x.release("m-a")
	want("given back", "m-d", 0, "node-101")
	want("claimed still", "m-e", 0, "node-103")
	want("its own", "m-50", 0, "node-050")
	want("its own is taken elsewhere", "m-50", 1, "node-106")
	put("m-7", "renamed", 2)
	want("a gap by a new name", "m-f", 0, "node-007")
	x.remove("m-3")
	want("a gap by a machine that is gone", "m-g", 0, "node-003")
	x.clear()
	want("nobody is left", "m-h", 0, "node-001")
}

func TestFreeNameIsClaimed(t *testing.T) {
	x := NewIndex()
	want := func(what, id string, attempt int) {
		t.Helper()
		if got, want := x.freeName(id, "seed", 0), Name("seed", attempt); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	want("the first", "m-a", 0)
	want("at the same time", "m-b", 1)
	want("again", "m-a", 0)
	x.release("m-a")
	want("given back", "m-c", 0)
	x.put(Machine{ID: "m-b", Name: Name("seed", 1), Version: 1})
	x.release("m-b")
	want("had by a machine", "m-d", 2)
	x.release("m-nobody")
	if x.release("m-c"); len(x.claims) != 1 || len(x.claimed) != 1 {
		t.Errorf("claims are %v, of %v", x.claims, x.claimed)
	}
}

func TestNameTextHas(t *testing.T) {
	numbered, plain := nameText{before: "a-", after: "-z", counts: true, width: 2}, nameText{before: "a"}
	for _, tt := range []struct {
		text nameText
		name string
		has  bool
	}{
		{numbered, "a-01-z", true}, {numbered, "a-100-z", true}, {numbered, "a-1-z", false}, {numbered, "a-001-z", false},
		{numbered, "a-x-z", false}, {numbered, "a--01-z", false}, {numbered, "a-00-z", false}, {numbered, "a-z", false},
		{plain, "a", true}, {plain, "a-2", true}, {plain, "a-1", false}, {plain, "a2", false}, {plain, "b", false},
	} {
		if tt.text.has(tt.name) != tt.has {
			t.Errorf("%+v has %q: %v", tt.text, tt.name, !tt.has)
		}
	}
}
