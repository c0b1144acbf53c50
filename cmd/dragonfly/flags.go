package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dragonfly/registry"
)

// choice is the value of a flag that takes one of a few words.
type choice struct {
	word string
	of   []string
}

// String is part of [pflag.Value].
func (c *choice) String() string { return c.word }

// Type is part of [pflag.Value]; a choice is read like any text.
func (c *choice) Type() string { return "string" }

// Set is part of [pflag.Value].
func (c *choice) Set(word string) error {
	if !slices.Contains(c.of, word) {
		return errors.New("want " + oneOf(word, c.of))
	}
	c.word = word
	return nil
}

// oneOf is the end of an error message about a word that is none of those known.
func oneOf(word string, known []string) string {
	last := len(known) - 1
	text := strings.Join(known[:last], ", ") + " or " + known[last]
	if near := registry.Nearest(word, known); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// flagError makes what is wrong with the flags of cmd a [usageError] that says what
// to do.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return usageError{fmt.Errorf("%w; %s", err, instead(cmd, unknown))}
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usageError{fmt.Errorf("--%s %.80q: %s", wrong.GetFlag().Name, wrong.GetValue(), wanted(wrong))}
	}
	return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
}

// instead names the flag that was meant, or where they are listed.
func instead(cmd *cobra.Command, unknown *pflag.NotExistError) string {
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := registry.Nearest(unknown.GetSpecifiedName(), known); near != "" && unknown.GetSpecifiedShortnames() == "" {
		return "did you mean --" + near + "?"
	}
	return "see " + cmd.CommandPath() + " --help"
}

// wanted is what a flag takes.
func wanted(wrong *pflag.InvalidValueError) string {
	switch wrong.GetFlag().Value.Type() {
	case "int", "int64":
		return "want a whole number"
	case "bool":
		return "want true or false"
	}
	return wrong.Unwrap().Error()
}
