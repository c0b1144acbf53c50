package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [-o FILE]", Short: "Write machines, catalogue, rules and defaults as YAML, to be kept in git", Args: cobra.NoArgs,
		Long: `Write what operators have set as YAML, to be kept in git, or taken to another
appliance: a document for what deployments begin from, one for the rules, one for each
operating system that was added to the catalogue or changed, and one for each machine,
with what it is recognised by and what operators say of it:

  apiVersion: dragonfly/v1
  kind: Machine
  name: rack1-7
  macs:
  - "52:54:00:12:34:56"
  serial: 7XK2Q54
  owner: ana
  tags:
  - gpu

The same machines give the same text, by name, so that what git shows as a change
is one. What a machine reports of its hardware is not in it, and no secret is: for
the hash of a password stands "kept", which leaves it as it is stored.

A FILE is replaced when all was written, and not before.`,
		Example: `  dragonfly export -o fleet.yaml
  dragonfly export --only machines --filter label.rack:a1 > rack-a1.yaml
  dragonfly export | dragonfly apply -f - --context other --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			only, err := onlyOf(cmd)
			if err != nil {
				return err
			}
			ask := api.Export{Only: only}
			ask.Filter, _ = cmd.Flags().GetString("filter")
			name, _ := cmd.Flags().GetString("output")
			err = writeWhole(cmd.OutOrStdout(), name, func(w io.Writer) error {
				asOf, err := control(cmd).Export(cmd.Context(), ask, w)
				if !asOf.IsZero() {
					fmt.Fprintf(cmd.ErrOrStderr(), "the database is away: this is what was known at %s\n", asOf.Local().Format(time.DateTime))
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringP("output", "o", "-", "write to this `FILE`; - for standard output")
	cmd.Flags().String("filter", "", "only the machines that match, such as \"label.rack:a1 -state:retired\"")
	onlyFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// manifestParts are what --only may say.
var manifestParts = api.Parts()

func onlyFlag(cmd *cobra.Command) {
	cmd.Flags().StringSlice("only", nil, "machines, oses, rules or defaults; may be repeated (default all)")
	_ = cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(manifestParts, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// onlyOf is which parts of a manifest a command is about; none is all.
func onlyOf(cmd *cobra.Command) ([]string, error) {
	only, _ := cmd.Flags().GetStringSlice("only")
	for _, part := range only {
		if !slices.Contains(manifestParts, part) {
			return nil, usageError{fmt.Errorf("--only %.80q: want %s", part, oneOf(part, manifestParts))}
		}
	}
	return only, nil
}

// writeWhole has a file written as a whole or not at all; - is stdout.
func writeWhole(stdout io.Writer, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(stdout)
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // such as /dev/null
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(file), file.Close())
	}
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part")
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if err = errors.Join(write(file), file.Close()); err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}
