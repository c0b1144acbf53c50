package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"dragonfly/registry/api"
)

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Follow what happens, until interrupted", Args: cobra.NoArgs,
		Long: `Follow what happens to machines, as it happens. A connection that breaks off is
taken up again where it stopped, so nothing is missed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			after, _ := cmd.Flags().GetInt64("after")
			form, _ := cmd.Flags().GetString("output")
			err := control(cmd).Events(cmd.Context(), after, func(e api.Event) error {
				return printEvent(cmd.OutOrStdout(), form, e)
			})
			if cmd.Context().Err() != nil {
				return nil // interrupted, which is how it ends
			}
			return fmt.Errorf("follow events: %w", err)
		},
	}
	cmd.Flags().Int64("after", -1, "start after the event with this number; 0 for all that are kept (default: from now on)")
	formFlag(cmd, "table, wide, json: one event a line, yaml: a document each, or name: their numbers", "table", "wide", "json", "yaml", "name")
	controlFlags(cmd)
	return cmd
}

// printEvent writes one event of a stream.
func printEvent(w io.Writer, form string, e api.Event) (err error) {
	switch form {
	case "json":
		return json.NewEncoder(w).Encode(e)
	case "yaml":
		text, err := yaml.Marshal(e)
		fmt.Fprintf(w, "---\n%s", text)
		return err
	case "name":
		_, err = fmt.Fprintln(w, e.ID)
	case "wide":
		_, err = fmt.Fprintf(w, "%-8d %s  %-14s  %-17s  %-20s %s\n", e.ID, e.At.Local().Format("2006-01-02 15:04:05.000"), e.Machine, e.MAC, e.Kind, e.Message)
	default:
		_, err = fmt.Fprintf(w, "%s  %-17s  %-20s %s\n", e.At.Local().Format("15:04:05.000"), e.MAC, e.Kind, e.Message)
	}
	return err
}

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit [OBJECT]", Short: "Who changed what, the newest first", Args: cobra.MaximumNArgs(1),
		Long: `Who changed what, the newest first: everything, or one object. That is a machine, by
name or ID (by ID where it was deleted), an account as account/NAME, an API token as
token/ID, or rules.`,
		Example: `  dragonfly audit --limit 20
  dragonfly audit rack1-7
  dragonfly audit account/ana`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, limit := control(cmd), 0
			limit, _ = cmd.Flags().GetInt("limit")
			query := api.AuditQuery{Limit: limit}
			if len(args) == 1 {
				query.Object = args[0]
				name, err := machineNamed(cmd, args[0])
				if err != nil {
					return fmt.Errorf("audit: %w", err)
				}
				if m, err := client.Machine(cmd.Context(), name); err == nil {
					query.Object = m.ID // a deleted machine, an account or a token is asked for as it is
				}
			}
			entries, err := client.Audit(cmd.Context(), query)
			if err != nil {
				return fmt.Errorf("audit: %w", err)
			}
			if len(entries) == 0 && query.Object != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "nothing is recorded of %.80q; see %s --help for what can be asked\n", args[0], cmd.CommandPath())
			}
			return printList(cmd, entries, columns[api.AuditEntry]{
				heads: []string{"AT", "WHO", "FROM", "ACTION", "OBJECT", "BEFORE", "AFTER"},
				cells: func(e api.AuditEntry) []string {
					return []string{moment(e.At), e.Actor.Name, e.Actor.From, e.Action, e.Object, string(e.Before), string(e.After)}
				},
				name: func(e api.AuditEntry) string { return strings.TrimSpace(e.Object) },
			})
		},
	}
	cmd.Flags().Int("limit", 100, "how many entries, at most 1000")
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}
