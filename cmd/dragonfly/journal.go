package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func journalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "journal", Short: "What waits on the server for the database, and what it could not take", Args: cobra.NoArgs,
		Long: `While the database is away the server keeps registrations and boot steps in a
journal on its disk, and applies them in their order when the database is back.
A record that can never be applied is kept as a dead letter in
DATA-DIR/journal/dead, a file each, until somebody takes it away by hand.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := control(cmd).Journal(cmd.Context())
			if err != nil {
				return fmt.Errorf("journal: %w", err)
			}
			return printValue(cmd, j, func(w io.Writer) error { return printJournal(w, j) })
		},
	}
	objectFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// printJournal writes a journal for people.
func printJournal(out io.Writer, j api.Journal) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	state := "answers"
	if j.Away != nil {
		state = fmt.Sprintf("away since %s: %s", moment(j.Away.Since), j.Away.Cause)
	}
	fmt.Fprintf(w, "database\t%s\nwaiting\t%s, %d bytes\noldest\t%s\n", state, registry.Counted(j.Stats.Records, "record"), j.Stats.Bytes, moment(j.Stats.Oldest))
	fmt.Fprintf(w, "since the start\t%d kept, %d applied, %d refused, %d bytes damaged\n", j.Stats.Appended, j.Stats.Settled, j.Stats.Refused, j.Stats.Damaged)
	fmt.Fprintf(w, "dead letters\t%d\n", j.Stats.Dead)
	for _, l := range j.DeadLetters {
		fmt.Fprintf(w, "%s\t%s\n\t%.200s\n", moment(l.At), l.Why, l.Record)
	}
	return w.Flush()
}
