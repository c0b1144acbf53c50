package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dragonfly/registry/manifest"
)

func machineImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Bring a list of machines from CSV, JSON or YAML",
		Long: `Bring a list of machines, from a spreadsheet or an inventory, before they are first
powered on, or to name and tag those that are here. - is standard input.

CSV begins with a line that names the columns, in any order:

  name       as in a host name; generated where it is empty
  mac        hardware addresses; mac1 and mac2, too
  serial     the serial number, or Dell's service tag
  uuid       the SMBIOS UUID
  vendor     until the machine reports it itself
  model      until the machine reports it itself
  owner, note
  tags       instead of those the machine has
  labels     KEY=VALUE, instead of those the machine has
  label.KEY  sets this one label
  os         the operating system to assign; nothing is installed by it

Between the cells is a comma, a semicolon or a tab; between several values in one cell
are blanks, commas or semicolons. An empty cell says nothing: what is stored stays, until
"dragonfly machine edit" empties it.

JSON is an array of objects, or an object in each line; YAML is a list, or what
"dragonfly export" writes. Their fields have the same names; lists may be lists.

A machine is recognised by its UUID, serial number or a hardware address, and else by
its name; one that is not known is expected from then on. What would be done is shown
first, and done when it is agreed to. A file with anything wrong in it changes nothing,
and all of that is told with its line. Each machine is changed, or refused, on its own.

  + created   ~ edited   ! refused

The exit code is 0 where all was done or nothing is to do, 4 where something is
refused, and 7 for a dry run that found something to change.`,
		Example: `  dragonfly machine import rack-a1.csv --dry-run
  dragonfly machine import rack-a1.csv --yes
  inventory --json | dragonfly machine import - --format json --yes`,
		Args: exactly(1, "a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := importList(cmd, args[0]); err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().String("format", "", "csv, json or yaml (default what the name of the file ends in)")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(manifest.Formats(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	cmd.Flags().Bool("dry-run", false, "show what would be done, and change nothing")
	yesFlag(cmd)
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func importList(cmd *cobra.Command, name string) error {
	format, err := formatFor(cmd, name)
	if err != nil {
		return err
	}
	a := &applying{client: control(cmd)}
	if a.files, err = readList(cmd, name, format); err != nil {
		return err
	}
	a.parts = a.files.batches(fewAtOnce)
	a.tell = a.progress(cmd, "machines")
	return a.carryOut(cmd)
}

// formatFor is the format of a list: as is asked for, or as the name of the file says.
func formatFor(cmd *cobra.Command, name string) (manifest.Format, error) {
	asked, _ := cmd.Flags().GetString("format")
	switch format := manifest.FormatOf(name); {
	case asked == "" && format == "":
		return "", usageError{fmt.Errorf("the name does not say what it is: give --format %s; a spreadsheet is to be saved as CSV", oneOf("", manifest.Formats()))}
	case asked == "":
		return format, nil
	case !slices.Contains(manifest.Formats(), asked):
		return "", usageError{fmt.Errorf("--format %.80q: want %s", asked, oneOf(asked, manifest.Formats()))}
	}
	return manifest.Format(asked), nil
}
