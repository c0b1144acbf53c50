package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dragonfly/registry"
)

func journalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "journal", Short: "What waits on the server for the database, and what it could not take", Args: cobra.NoArgs,
		Long: `While the database is away the server keeps registrations and boot steps in a
journal on its disk, and applies them in their order when the database is back.
A record that can never be applied is kept as a dead letter in
DATA-DIR/journal/dead, a file each, until somebody takes it away by hand.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form, _ := cmd.Flags().GetString("output")
			j, err := control(cmd).Journal(cmd.Context())
			if err != nil {
				return fmt.Errorf("journal: %w", err)
			}
			if form == "json" {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(j)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
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
		},
	}
	formFlag(cmd, "table or json", "table", "json")
	controlFlags(cmd)
	return cmd
}
