package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

func templateCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Say all that is wrong with templates",
		Long: `Render templates for an example machine, or for the one that --machine names, and
say all that is wrong with them: what Tinkerbell refuses, what it passes over in
silence, and what an action would fail for, such as a variable that it needs.

Each line names the file, the line and the column. The exit code is 1 where a
template cannot be used. What only is worth knowing is a note and changes no code.
A value that no --set gives is guessed, and named.`,
		Example: `  dragonfly template check ubuntu.yaml debian.yaml
  dragonfly template check --machine rack1-7 --set image_url=http://images/u.raw.gz ubuntu.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("want files with templates, or - for standard input; see dragonfly template check --help")}
			}
			machine, params, err := templateInput(cmd)
			if err != nil {
				return err
			}
			return checkFiles(cmd, args, func(file string, text []byte) []finding {
				return checkFile(file, text, machine, params)
			})
		},
	}
	templateFlags(cmd, "render for this `MACHINE` of the running appliance, by name or ID, instead of an example")
	formFlag(cmd, "text, or json for editors and CI", "text", "json")
	return cmd
}

// finding is what is said of a template. Its place is that in the file.
type finding struct {
	File string `json:"file"`
	tinkerbell.Problem
	Level string `json:"level"` // error, note or good
}

// checkFiles writes what check finds in files. The error counts those that cannot
// be used.
func checkFiles(cmd *cobra.Command, files []string, check func(string, []byte) []finding) error {
	all, refused := []finding{}, 0
	for _, file := range files {
		text, err := readInput(cmd, file, 2*tinkerbell.MaxText)
		if err != nil {
			return fmt.Errorf("check template: %w", err)
		}
		found := check(file, text)
		if slices.ContainsFunc(found, func(f finding) bool { return f.Level == "error" }) {
			refused++
		}
		all = append(all, found...)
	}
	if form, _ := cmd.Flags().GetString("output"); form == "json" {
		if err := printJSON(cmd.OutOrStdout(), all); err != nil {
			return err
		}
	} else {
		printFindings(cmd.OutOrStdout(), all)
	}
	if refused > 0 {
		return fmt.Errorf("check templates: %d of %d cannot be used", refused, len(files))
	}
	return nil
}

// checkFile is all there is to say of the templates in a file.
func checkFile(file string, text []byte, m registry.Machine, params map[string]string) (all []finding) {
	documents, err := tinkerbell.Documents(text)
	if err != nil {
		return findings(file, tinkerbell.Document{}, problemsOf(err), "error")
	}
	for _, d := range documents {
		t, missing, err := tryTemplate(d.Text, m, params)
		all = append(all, findings(file, d, problemsOf(err), "error")...)
		if err == nil {
			all = append(all, findings(file, d, t.Notes(), "note")...)
			summary := fmt.Sprintf("%s is good: %s, %s", t.Name, registry.Counted(len(t.Tasks), "task"), registry.Counted(t.Actions(), "action"))
			if len(missing) > 0 {
				summary += "; to render it needs --set " + strings.Join(missing, "=..., ") + "=..."
			}
			all = append(all, finding{file, tinkerbell.Problem{Message: summary}, "good"})
		}
	}
	return all
}

// findings are problems of a document with their place in the file.
func findings(file string, d tinkerbell.Document, problems []tinkerbell.Problem, level string) (all []finding) {
	for _, p := range problems {
		all = append(all, finding{file, d.InFile(p), level})
	}
	return all
}

// tryTemplate checks a template with a guess for each value that is not given, and says
// which these are.
func tryTemplate(text []byte, m registry.Machine, params map[string]string) (t tinkerbell.Template, missing []string, err error) {
	data, err := tinkerbell.NewData(m, params)
	if err != nil {
		return t, nil, err
	}
	if missing, err = tinkerbell.Guess(text, data); err != nil {
		return t, nil, err
	}
	t, err = tinkerbell.Check(text, data)
	return t, missing, err
}

// problemsOf are the problems of an error; any other error is one.
func problemsOf(err error) []tinkerbell.Problem {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*tinkerbell.InvalidError](err); ok {
		return wrong.Problems
	}
	return []tinkerbell.Problem{{Message: err.Error()}}
}

// printFindings writes a line for each as compilers do: FILE:LINE:COLUMN: message.
func printFindings(w io.Writer, all []finding) {
	for _, f := range all {
		place, kind := f.File, ""
		if f.Line > 0 {
			place += fmt.Sprintf(":%d", f.Line)
		}
		if f.Line > 0 && f.Column > 0 {
			place += fmt.Sprintf(":%d", f.Column)
		}
		if where := f.Place(); where != "" {
			place += ": " + where
		}
		if f.Level == "note" {
			kind = "note: "
		}
		fmt.Fprintf(w, "%s: %s%s\n", place, kind, f.Text())
	}
}
