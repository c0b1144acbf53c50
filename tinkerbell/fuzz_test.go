package tinkerbell

import (
	"errors"
	"testing"
)

// What is accepted is accepted by Tinkerbell too, and read alike.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.golden", "testdata/bad/*.yaml"} {
		for _, text := range filesOf(f, pattern) {
			f.Add(text)
		}
	}
	f.Add([]byte("a: &a {<<: *a}\ntasks: [*a, *a]"))
	f.Add([]byte("name: x\ntasks:\n- {<<: [{name: a}, {name: b, worker: w}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := Parse(text)
		if err != nil {
			if wrong, ok := errors.AsType[*InvalidError](err); !ok || len(wrong.Problems) == 0 {
				t.Fatalf("error %v; want an InvalidError with problems", err)
			}
			return
		}
		if err := upstream(text); err != nil {
			t.Fatalf("Tinkerbell refuses it: %v", err)
		}
		compare(t, read, text)
		_ = read.Validate()
		_ = read.Notes()
	})
}

// Nothing panics, and nothing takes long.
func FuzzRender(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		for _, text := range filesOf(f, pattern) {
			f.Add(text)
		}
	}
	for name, text := range bombs {
		if name != "keys" && name != "hashes" && len(text) < 1000 {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var rendered Rendered
		var err error
		took := cpuTime(t, func() { rendered, err = Render(text, dataOf(t, machine())) })
		if took > 2*maxTime {
			t.Fatalf("it took %s", took)
		}
		_, asksErr := Asks(text)
		if err != nil {
			return
		}
		if asksErr != nil {
			t.Fatal(asksErr)
		}
		_, err = rendered.Parse()
		wrong, ok := errors.AsType[*InvalidError](err)
		if err != nil && !ok {
			t.Fatal(err)
		}
		for _, p := range problems(wrong) {
			if lines := 1 + count(text, '\n'); p.Line > lines {
				t.Fatalf("%s: the template has %d lines", p, lines)
			}
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte("apiVersion: tinkerbell.org/v1alpha1\nkind: Template\nmetadata: {name: a}\nspec:\n  data: |\n    name: x\n"))
	f.Add([]byte("apiVersion: v1\nkind: Template\nspec: {data: \"a\\nb\"}\n---\napiVersion: v1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		documents, err := Documents(file)
		if (err == nil) != (len(documents) > 0) {
			t.Fatal(documents, err)
		}
	})
}

func problems(err *InvalidError) []Problem {
	if err == nil {
		return nil
	}
	return err.Problems
}

func count(text []byte, c byte) (n int) {
	for _, b := range text {
		if b == c {
			n++
		}
	}
	return n
}
