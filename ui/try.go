package ui

import (
	"context"
	"net/http"
	"strings"

	"dragonfly/registry"
)

// Tried is what came of a template that was tried on a machine.
type Tried struct {
	Machine string // its name; empty: an example
	Source  string // of the template, whose lines are those of Problems
	Text    string // that it gave, as far as it came
	Guessed []string
	Notes   []string
	// Problems are what keeps it from being carried out.
	Problems []LineProblem
}

// LineProblem is something that is wrong with a line of a text.
type LineProblem struct {
	Line int // from 1; 0: with none in particular
	Text string
}

// Recipes writes operating systems as text, and tries their templates.
type Recipes struct {
	// Try says what a deployment of o would carry out on a machine; of an example where
	// none is named. O need not be in the catalogue, and nothing is changed.
	Try func(ctx context.Context, o registry.OS, machine string) (Tried, error)
	// Format is an operating system as Parse reads it, in YAML.
	Format func(o registry.OS) ([]byte, error)
	// Parse errs with everything that is wrong, each on a line of the error.
	Parse func(text []byte) ([]registry.OS, error)
}

// sourceLine is a line of a template, and what is wrong with it.
type sourceLine struct {
	Number int
	Text   string
	Wrong  []string
}

// lines are those of the source, with what is wrong with each.
func (t Tried) lines() (all []sourceLine) {
	for text := range strings.Lines(t.Source) {
		l := sourceLine{Number: len(all) + 1, Text: strings.TrimRight(text, "\n")}
		for _, p := range t.Problems {
			if p.Line == l.Number {
				l.Wrong = append(l.Wrong, p.Text)
			}
		}
		all = append(all, l)
	}
	return all
}

// whole are the problems that are of no line of the source.
func (t Tried) whole() (texts []string) {
	last := strings.Count(t.Source, "\n") + 1
	for _, p := range t.Problems {
		if p.Line < 1 || p.Line > last {
			texts = append(texts, p.Text)
		}
	}
	return texts
}

// maxOffered is how many machines a page offers by name; others are typed.
const maxOffered = 50

// trySystem shows what the template of the form gives, and keeps nothing.
func (u *UI) trySystem(w http.ResponseWriter, r *http.Request, form systemForm, o registry.OS) error {
	tried, err := u.Recipes.Try(r.Context(), o, form.Machine)
	if err != nil {
		found := faultsOf(err, func(string) string { return "machine" })
		if found == nil {
			return err
		}
		form.Faults = faults{"machine": append(found[""], found["machine"]...)}
		return u.showSystem(w, r, form, http.StatusUnprocessableEntity)
	}
	form.Tried = &tried
	return u.showSystem(w, r, form, http.StatusOK)
}
