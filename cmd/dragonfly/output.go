package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// columns is how a list is shown to people: a head and a cell for each column,
// and the one word by which scripts name an item.
type columns[T any] struct {
	heads []string
	cells func(T) []string
	name  func(T) string
}

// outputFlag is the form of a list; wide is a table with more columns, where there are
// more.
func outputFlag(cmd *cobra.Command) {
	formFlag(cmd, "table, wide, json, yaml, or name for scripts", "table", "wide", "json", "yaml", "name")
}

// formFlag is the form of what a command writes: the first one, unless another one is
// asked for.
func formFlag(cmd *cobra.Command, usage string, forms ...string) {
	cmd.Flags().VarP(&choice{forms[0], forms}, "output", "o", usage)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func isWide(cmd *cobra.Command) bool { return cmd.Flag("output").Value.String() == "wide" }

// printList writes items in the form that -o asks for.
func printList[T any](cmd *cobra.Command, items []T, show columns[T]) error {
	if items == nil {
		items = []T{} // and not null
	}
	return printValue(cmd, items, func(w io.Writer) error {
		if form, _ := cmd.Flags().GetString("output"); form != "name" {
			return printTable(w, items, show)
		}
		for _, item := range items {
			fmt.Fprintln(w, show.name(item))
		}
		return nil
	})
}

// objectFlag is the form of a thing that is no list.
func objectFlag(cmd *cobra.Command) {
	formFlag(cmd, "table, json or yaml", "table", "json", "yaml")
}

// printValue writes a value as JSON or YAML, with the fields of the API, or for people,
// by what -o asks for.
func printValue(cmd *cobra.Command, value any, forPeople func(io.Writer) error) error {
	form, _ := cmd.Flags().GetString("output")
	w := cmd.OutOrStdout()
	switch form {
	case "json":
		return printJSON(w, value)
	case "yaml":
		text, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	return forPeople(w)
}

// printJSON writes a value as the API has it, for people to read.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func printTable[T any](w io.Writer, items []T, show columns[T]) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(show.heads, "\t"))
	for _, item := range items {
		fmt.Fprintln(table, strings.Join(show.cells(item), "\t"))
	}
	return table.Flush()
}

// moment is a time for a table: "never" for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// readInput reads a file of at most limit bytes, or standard input where it is
// called "-".
func readInput(cmd *cobra.Command, name string, limit int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return text, err
}

func yesFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("yes", false, "do it without asking")
}

// confirm asks before something is destroyed, unless --yes was given.
func confirm(cmd *cobra.Command, question string) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		return nil
	}
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return usageError{errors.New("nobody can be asked here: confirm with --yes")}
	}
	fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
