package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/manifest"
)

// applied is what became of the documents of files, or would.
type applied struct {
	api.ApplyReply
	Results []appliedItem `json:"results"` // instead of those of the reply

	files *manifests
	ask   api.Apply
	plans []string // of each request
	seen  bool     // what was to be done was shown before
}

// appliedItem is what became of one document, or of a machine that none is about.
type appliedItem struct {
	api.ImportResult
	File string `json:"file,omitempty"` // and line, as FILE:LINE
}

// add takes in the answer to the request about some documents.
func (a *applied) add(reply api.ApplyReply, docs []manifest.Document) {
	a.DryRun = reply.DryRun
	a.Created, a.Edited, a.Unchanged = a.Created+reply.Created, a.Edited+reply.Edited, a.Unchanged+reply.Unchanged
	a.Deleted, a.Refused = a.Deleted+reply.Deleted, a.Refused+reply.Refused
	a.plans = append(a.plans, reply.Plan)
	if a.Plan = ""; len(a.plans) == 1 {
		a.Plan = reply.Plan
	}
	for i, r := range reply.Results {
		item := appliedItem{ImportResult: r}
		if item.Line = 0; i < len(docs) {
			item.File, item.Name = a.files.at(docs[i].Line), cmp.Or(item.Name, namely(docs[i].Machine))
		}
		a.Results = append(a.Results, item)
	}
}

// namely is what a machine is called that is not known by name.
func namely(l registry.Listed) string {
	name := cmp.Or(l.Name, l.Serial, l.UUID)
	if name == "" && len(l.MACs) > 0 {
		name = l.MACs[0].String()
	}
	return name
}

func (a applied) changes() int { return a.Created + a.Edited + a.Deleted }

// refusal is the error where something is refused; it has the first reason.
func (a applied) refusal() error {
	for _, item := range a.Results {
		if item.Problem != nil {
			return fmt.Errorf("%d of %d are refused; the first: %s%w", a.Refused, len(a.Results), prefix(item.called()), item.Problem)
		}
	}
	return nil
}

func prefix(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

// verdict is refusal, and for a dry run that there is something to change.
func (a applied) verdict() error {
	if err := a.refusal(); err != nil || a.changes() == 0 {
		return err
	}
	return differs{fmt.Errorf("this was a dry run: %s", a.summary())}
}

// called is what an item is about.
func (item appliedItem) called() string {
	switch manifest.Kind(item.Kind) {
	case manifest.Rules, manifest.Defaults:
		return strings.ToLower(item.Kind)
	default:
		return item.Name
	}
}

func (a applied) print(cmd *cobra.Command) error {
	return printValue(cmd, a, func(w io.Writer) error {
		if form, _ := cmd.Flags().GetString("output"); form != "name" {
			a.printDiff(w)
			return nil
		}
		for _, item := range a.Results {
			if item.Problem == nil && item.Action != registry.ImportSame {
				fmt.Fprintln(w, item.called())
			}
		}
		return nil
	})
}

// signs stand before what is done.
var signs = map[registry.ImportAction]string{registry.ImportCreate: "+", registry.ImportEdit: "~", registry.ImportDelete: "-", registry.ImportRefuse: "!"}

// printDiff writes what is done for people to read, and not what stays. What was
// shown before is not shown again, but for what was refused since.
func (a applied) printDiff(w io.Writer) {
	for _, item := range a.Results {
		sign, ok := signs[item.Action]
		if !ok || a.seen && item.Problem == nil {
			continue
		}
		head := strings.TrimSpace(sign + " " + item.called())
		if item.File != "" {
			head += "  (" + item.File + ")"
		}
		fmt.Fprintln(w, head)
		if item.Problem != nil {
			fmt.Fprintf(w, "    refused: %s\n", item.Problem.Error())
		}
		for _, change := range item.Changes {
			printChange(w, change)
		}
	}
	fmt.Fprintln(w, a.summary())
}

// summary is what is done, in numbers.
func (a applied) summary() string {
	to := ""
	if a.DryRun {
		to = "to "
	}
	words := []string{}
	for _, c := range []struct {
		n           int
		would, done string
	}{{a.Created, "create", "created"}, {a.Edited, "edit", "edited"}, {a.Deleted, "delete", "deleted"}} {
		if word := c.done; c.n > 0 {
			if a.DryRun {
				word = c.would
			}
			words = append(words, fmt.Sprintf("%d %s%s", c.n, to, word))
		}
	}
	words = append(words, fmt.Sprintf("%d unchanged", a.Unchanged))
	if a.Refused > 0 {
		words = append(words, fmt.Sprintf("%d refused", a.Refused))
	}
	return strings.Join(words, ", ")
}

// printChange writes one thing that changes: a list by what comes and goes, a rule
// below each other, all else in a line.
func printChange(w io.Writer, c registry.FieldChange) {
	before, after := inQuotes(c.Before), inQuotes(c.After)
	switch {
	case slices.Contains([]string{"tags", "macs"}, c.Field) && c.Before != "" && c.After != "":
		fmt.Fprintf(w, "    %s: %s\n", c.Field, comeAndGo(strings.Fields(c.Before), strings.Fields(c.After)))
	case strings.HasPrefix(c.Field, "rule ") || len(before)+len(after) > 100:
		fmt.Fprintf(w, "    %s\n", c.Field)
		if c.Before != "" {
			fmt.Fprintf(w, "      - %s\n", before)
		}
		if c.After != "" {
			fmt.Fprintf(w, "      + %s\n", after)
		}
	case c.After == "":
		fmt.Fprintf(w, "    %s: none (was %s)\n", c.Field, before)
	case c.Before == "":
		fmt.Fprintf(w, "    %s: %s\n", c.Field, after)
	default:
		fmt.Fprintf(w, "    %s: %s (was %s)\n", c.Field, after, before)
	}
}

// inQuotes is a text in one line: one of several is in quotes.
func inQuotes(text string) string {
	if strings.ContainsAny(text, "\n\t") {
		return fmt.Sprintf("%q", text)
	}
	return text
}

// comeAndGo is what is added to and taken from a list, or its new order.
func comeAndGo(before, after []string) string {
	var words []string
	for _, word := range after {
		if !slices.Contains(before, word) {
			words = append(words, "+"+word)
		}
	}
	for _, word := range before {
		if !slices.Contains(after, word) {
			words = append(words, "-"+word)
		}
	}
	if len(words) == 0 {
		return strings.Join(after, " ") + " (was " + strings.Join(before, " ") + ")"
	}
	return strings.Join(words, " ")
}
