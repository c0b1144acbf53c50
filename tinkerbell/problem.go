package tinkerbell

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"dragonfly/registry"
)

// Problem is one thing that is wrong with a template, and what to do.
type Problem struct {
	Line    int    `json:"line,omitempty"`   // of the template's text, from 1; 0: not known
	Column  int    `json:"column,omitempty"` // in characters, from 1; 0: not known
	Task    string `json:"task,omitempty"`   // where it is in one
	Action  string `json:"action,omitempty"`
	Message string `json:"message"`
	First   int    `json:"first,omitempty"` // line of the first of two, where Line has the second
}

// String is the problem in one line: "line 14, task install, action stream:
// image is missing; ...".
func (p Problem) String() string {
	var where []string
	if p.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", p.Line))
	}
	if place := p.Place(); place != "" {
		where = append(where, place)
	}
	if len(where) == 0 {
		return p.Text()
	}
	return strings.Join(where, ", ") + ": " + p.Text()
}

// Text is the message with the other line it is about, without the place.
func (p Problem) Text() string {
	if p.First == 0 {
		return p.Message
	}
	return fmt.Sprintf("%s (the first is on line %d)", p.Message, p.First)
}

// Place is the task and the action, such as "task install, action stream"; empty
// where it is in neither.
func (p Problem) Place() string {
	switch {
	case p.Task == "":
		return ""
	case p.Action == "":
		return "task " + p.Task
	}
	return "task " + p.Task + ", action " + p.Action
}

// InvalidError is a template that cannot be used, and all that is wrong with it
// in the order of the text.
type InvalidError struct {
	Problems []Problem
}

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// invalid is the error of these problems; nil where there are none.
func invalid(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems:maxProblems], Problem{Message: fmt.Sprintf("and %d more", more)})
	}
	return &InvalidError{problems}
}

// orSuggest ends a message on a word that is not known: with the nearest known
// one, or with all of them.
func orSuggest(word string, known []string) string {
	if len(known) == 0 {
		return "; there is none"
	}
	if near := registry.Nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; there are " + strings.Join(known, ", ")
}

// short is a value as a message shows it.
func short(value string) string {
	if r := []rune(value); len(r) > 60 {
		value = string(r[:57]) + "..."
	}
	return fmt.Sprintf("%q", value)
}
