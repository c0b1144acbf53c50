package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func applyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make machines, catalogue, rules and defaults what files say", Args: cobra.NoArgs,
		Long: `Make machines, catalogue, rules and defaults what files say, in the form that
"dragonfly export" writes.

A machine is recognised by its UUID, serial number or a hardware address, and else
by its name; one that is not known is expected from then on. What a document does
not say stays as it is: write owner: "" or tags: [] to take something away, or give
--exact, and what is not said is taken away. No file takes a lock away. An operating
system is replaced as a whole; rules and defaults are, too, which needs an
administrator.

What would be done is shown first, and done when it is agreed to: nothing else is,
where somebody changes something meanwhile. A file with anything wrong in it changes
nothing. Each of them is changed, or refused, on its own.

With --prune, machines that no document is about are deleted; with --filter, only
those that match. It deletes nothing where a document is refused.

  + created   ~ edited   - deleted   ! refused

The exit code is 0 where all was done or nothing is to do, 4 where something is
refused, and 7 for a dry run that found something to change.`,
		Example: `  dragonfly apply -f fleet/ --dry-run
  dragonfly apply -f fleet.yaml --yes
  dragonfly apply -f rack-a1.yaml --prune --filter label.rack:a1`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyFiles(cmd); err != nil {
				return fmt.Errorf("apply: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayP("file", "f", nil, "`FILE` or folder; - for standard input; may be repeated")
	cmd.Flags().Bool("dry-run", false, "show what would be done, and change nothing")
	cmd.Flags().Bool("exact", false, "take away what a document does not say of its machine, but for a lock")
	cmd.Flags().Bool("prune", false, "delete machines that no document is about")
	cmd.Flags().String("filter", "", "with --prune, only among the machines that match, such as label.rack:a1")
	onlyFlag(cmd)
	yesFlag(cmd)
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// differs is that a dry run found something to change.
type differs struct{ error }

// applying is one run of apply.
type applying struct {
	client *api.Client
	files  *manifests
	parts  []batch
	ask    api.Apply
	tell   func(done int) // after each request
}

func applyFiles(cmd *cobra.Command) error {
	a, err := newApplying(cmd)
	if err != nil {
		return err
	}
	return a.carryOut(cmd)
}

// carryOut shows what would be done, and does it where that is agreed to.
func (a *applying) carryOut(cmd *cobra.Command) error {
	yes, _ := cmd.Flags().GetBool("yes")
	dry, _ := cmd.Flags().GetBool("dry-run")
	if yes && !dry {
		done, err := a.run(cmd.Context(), false, nil)
		return errors.Join(err, done.print(cmd), done.refusal())
	}
	would, err := a.run(cmd.Context(), true, nil)
	if err != nil {
		return err
	}
	if dry || would.changes() == 0 {
		return errors.Join(would.print(cmd), would.verdict())
	}
	would.printDiff(cmd.ErrOrStderr())
	if err := confirm(cmd, "Do this?"); err != nil {
		return err
	}
	done, err := a.run(cmd.Context(), false, would.plans)
	done.seen = true
	return errors.Join(err, done.print(cmd), done.refusal())
}

func newApplying(cmd *cobra.Command) (*applying, error) {
	names, _ := cmd.Flags().GetStringArray("file")
	if len(names) == 0 {
		return nil, usageError{errors.New("want files: -f FILE, -f FOLDER, or -f - for standard input")}
	}
	only, err := onlyOf(cmd)
	if err != nil {
		return nil, err
	}
	a := &applying{client: control(cmd)}
	a.ask.Prune, _ = cmd.Flags().GetBool("prune")
	a.ask.Exact, _ = cmd.Flags().GetBool("exact")
	a.ask.Filter, _ = cmd.Flags().GetString("filter")
	if a.ask.Filter != "" && !a.ask.Prune {
		return nil, usageError{errors.New("--filter says among which machines to prune: give --prune too")}
	}
	if a.files, err = readManifests(cmd, names); err != nil {
		return nil, err
	}
	if err := a.files.keep(only); err != nil {
		return nil, err
	}
	if !a.ask.Prune {
		a.parts = a.files.batches(fewAtOnce)
	} else if a.parts = a.files.batches(registry.MaxImport); len(a.parts) > 1 {
		return nil, usageError{fmt.Errorf("--prune takes at most %d machines, in 10 MiB, at once: prune a part of them, with --filter and the files of that part", registry.MaxImport)}
	}
	a.tell = a.progress(cmd, "documents")
	return a, nil
}

// progress tells how far it is, where there are several requests.
func (a *applying) progress(cmd *cobra.Command, what string) func(done int) {
	return func(done int) {
		if len(a.parts) > 1 {
			fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d %s\n", done, len(a.files.docs), what)
		}
	}
}

// run applies all documents, or tells what that would do; where there are plans, as
// they say and not otherwise. What was done before an error is in what it returns.
func (a *applying) run(ctx context.Context, dry bool, plans []string) (done applied, err error) {
	done.files, done.ask = a.files, a.ask
	at := 0
	for i, part := range a.parts {
		ask := a.ask
		if ask.DryRun = dry; plans != nil {
			ask.Plan = plans[i]
		}
		reply, err := a.client.Apply(ctx, part.text, ask)
		if err != nil && i > 0 {
			return done, fmt.Errorf("the first %d of %d are done: %w", at, len(a.files.docs), err)
		}
		if err != nil {
			return done, err
		}
		done.add(reply, a.files.docs[at:at+len(part.docs)])
		at += len(part.docs)
		a.tell(at)
	}
	return done, nil
}
