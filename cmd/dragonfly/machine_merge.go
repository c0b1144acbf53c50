package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func machineMergeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "merge KEEP FROM", Short: "Fold one record into another, where both are of one machine",
		Long: `Fold one record into another, where both are of one machine: after its board was
swapped, say. KEEP gets the addresses, tags, timeline and hardware history of FROM,
and of labels, note, owner and operating system what it has not. FROM is deleted.
An agent that runs under FROM restarts the machine and comes back under KEEP.

Records that are locked, being installed, or both online are left alone.`,
		Example: "  dragonfly machine merge rack1-7 calm-otter",
		Args:    exactly(2, "the record that stays and the one that goes into it, by name or ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := mergeMachines(cmd, args[0], args[1]); err != nil {
				return fmt.Errorf("merge %s into %s: %w", args[1], args[0], err)
			}
			return nil
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// mergeMachines looks at both records before it asks.
func mergeMachines(cmd *cobra.Command, keepName, fromName string) error {
	names, err := machinesNamed(cmd, []string{keepName, fromName})
	if err != nil {
		return err
	}
	client := control(cmd)
	keep, err := client.Machine(cmd.Context(), names[0])
	if err != nil {
		return err
	}
	from, err := client.Machine(cmd.Context(), names[1])
	if err != nil {
		return err
	}
	if keep.ID == from.ID {
		return usageError{errors.New("both are the same record")}
	}
	if err := confirm(cmd, fmt.Sprintf("Fold %s into %s, and delete its record?", from.Name, keep.Name)); err != nil {
		return err
	}
	m, err := client.Merge(cmd.Context(), keep.ID, from.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s has %d hardware addresses and is at version %d\n", m.Name, len(m.MACs), m.Version)
	return nil
}
