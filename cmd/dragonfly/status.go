package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Whether the appliance is ready, and what should be mended", Args: cobra.NoArgs,
		Long: `Whether the appliance is ready, and what should be mended: what /readyz tells a viewer,
and the UI on every page. The status is ready; degraded, while the database is away and
boots go on without it; or not ready. The exit code is 5 unless it is ready.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := control(cmd).Ready(cmd.Context())
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			if form, _ := cmd.Flags().GetString("output"); form == "json" {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				printReadiness(cmd, r)
			}
			if err == nil && r.Status != api.Ready {
				err = &api.Error{Status: http.StatusServiceUnavailable, Detail: "the appliance is " + r.Status}
			}
			return err
		},
	}
	formFlag(cmd, "table or json", "table", "json")
	controlFlags(cmd)
	return cmd
}

func printReadiness(cmd *cobra.Command, r api.Readiness) {
	fmt.Fprintln(cmd.OutOrStdout(), r.Status)
	for _, problem := range r.Problems {
		fmt.Fprintln(cmd.OutOrStdout(), "- "+problem)
	}
	if !r.LastBackup.IsZero() {
		fmt.Fprintln(cmd.OutOrStdout(), "last backup: "+moment(r.LastBackup))
	}
}
