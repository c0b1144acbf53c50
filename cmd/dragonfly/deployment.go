package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func deploymentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "deployment", Aliases: []string{"deployments"}, Short: "Deployments: list, show, log, cancel, retry",
		Long: `What was put on the disks of machines, by dragonfly deploy, and what became of it.

A deployment is pending (others of its batch come first, or its image is fetched),
waiting (for its machine to boot), running, verifying (the first boot of what was installed is waited for),
and then succeeded, failed, cancelled or timed_out.`}
	cmd.AddCommand(deploymentListCommand(), deploymentShowCommand(), deploymentLogCommand(), deploymentCancelCommand(), deploymentRetryCommand(), deploymentWaitCommand())
	return cmd
}

func deploymentColumns() columns[api.Deployment] {
	return columns[api.Deployment]{
		heads: []string{"ID", "MACHINE", "OS", "STATE", "PROGRESS", "BY", "CREATED", "REASON"},
		cells: func(d api.Deployment) []string {
			progress, what := "", titleOf(d)
			if d.Progress != nil {
				progress = fmt.Sprintf("%.0f %%", d.Progress.Percent)
			} else if d.Image != nil {
				progress = strings.TrimSuffix("image: "+d.Image.Line, ": ")
			}
			return []string{d.ID, d.MachineName, what, string(d.State), progress, d.By, moment(d.CreatedAt), d.Reason}
		},
		name: func(d api.Deployment) string { return d.ID },
	}
}

func deploymentListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List deployments, the newest first", Args: exactly(0, "no arguments"),
		Example: "  dragonfly deployment list --state waiting,running,verifying",
		RunE: func(cmd *cobra.Command, _ []string) error {
			states, _ := cmd.Flags().GetStringSlice("state")
			selection := api.DeploymentSelection{}
			for _, state := range states {
				selection.States = append(selection.States, registry.DeploymentState(state))
			}
			selection.OS, _ = cmd.Flags().GetString("os")
			selection.Batch, _ = cmd.Flags().GetString("batch")
			limit, _ := cmd.Flags().GetInt("limit")
			if limit < 1 {
				return usageError{fmt.Errorf("limit %d: want at least 1", limit)}
			}
			machine, _ := cmd.Flags().GetString("machine")
			name, err := machineNamed(cmd, machine)
			if err != nil {
				return fmt.Errorf("list deployments: %w", err)
			}
			selection.Machine = name
			all, err := control(cmd).AllDeployments(cmd.Context(), selection, limit)
			if err != nil {
				return fmt.Errorf("list deployments: %w", err)
			}
			return printList(cmd, all, deploymentColumns())
		},
	}
	cmd.Flags().StringSlice("state", nil, "only these: pending, waiting, running, verifying, succeeded, failed, cancelled, timed_out")
	cmd.Flags().String("os", "", "only of this operating system")
	cmd.Flags().String("machine", "", "only of this machine")
	cmd.Flags().String("batch", "", "only those that were asked for together")
	cmd.Flags().Int("limit", 100, "at most so many")
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func deploymentShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show DEPLOYMENT", Short: "One deployment, with its actions", Args: exactly(1, "the ID of a deployment"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := control(cmd).Deployment(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			if form, _ := cmd.Flags().GetString("output"); form != "table" {
				return printList(cmd, []api.Deployment{d}, deploymentColumns())
			}
			printDeployment(cmd.OutOrStdout(), d)
			return nil
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// printDeployment writes a deployment for people.
func printDeployment(w io.Writer, d api.Deployment) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	attempts := ""
	if d.Attempt > 1 {
		attempts = fmt.Sprintf("%d boots of the machine took it up", d.Attempt)
	}
	deadline, written := "", ""
	if !d.Deadline.IsZero() {
		deadline = moment(d.Deadline)
	}
	if d.Wrote {
		written = "since " + moment(d.WroteAt)
	}
	progress := ""
	if d.Progress != nil || d.Image != nil {
		progress = strings.TrimLeft(strings.TrimPrefix(progressLine(d), fmt.Sprintf("%s %s %s", d.ID, d.MachineName, d.State)), ": ")
	}
	for _, line := range [][2]string{{"ID", d.ID}, {"Machine", d.MachineName}, {"OS", d.OS}, {"Kind", string(d.Kind)}, {"State", string(d.State)}, {"Reason", d.Reason},
		{"Progress", progress}, {"Disk", diskOf(d.Disk)}, {"Found on it", d.Disk.Found}, {"Chosen as", d.Disk.Why}, {"Written to", written}, {"Attempts", attempts},
		{"By", d.By}, {"Batch", d.Batch}, {"Created", moment(d.CreatedAt)}, {"Started", moment(d.StartedAt)}, {"Ended", moment(d.EndedAt)}, {"Deadline", deadline}} {
		if line[1] != "" && line[1] != "never" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
		}
	}
	fmt.Fprintln(table)
	fmt.Fprintln(table, "ACTION\tSTATE\tTOOK\tMESSAGE")
	for _, a := range d.Actions {
		took := ""
		if !a.EndedAt.IsZero() {
			took = a.EndedAt.Sub(a.StartedAt).Round(100 * time.Millisecond).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", a.Name, a.State, took, a.Message)
	}
	table.Flush()
}

func deploymentLogCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "log DEPLOYMENT", Short: "What the actions of a deployment said", Args: exactly(1, "the ID of a deployment"),
		RunE: func(cmd *cobra.Command, args []string) error {
			follow, _ := cmd.Flags().GetBool("follow")
			err := control(cmd).DeploymentLog(cmd.Context(), args[0], follow, func(line string) error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
				return err
			})
			if err != nil {
				return fmt.Errorf("log of %s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().BoolP("follow", "f", false, "go on until the deployment has ended")
	controlFlags(cmd)
	return cmd
}

func deploymentCancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel DEPLOYMENT...", Short: "End deployments; a disk that was not written to stays as it is", Args: atLeastOne("the IDs of deployments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, fmt.Sprintf("Cancel %s? A disk that is being written stays incomplete.", strings.Join(args, ", "))); err != nil {
				return err
			}
			client := control(cmd)
			for _, id := range args {
				d, err := client.CancelDeployment(cmd.Context(), id)
				if err != nil {
					return fmt.Errorf("cancel %s: %w", id, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s: %s\n", d.ID, d.MachineName, d.State, d.Reason)
			}
			return nil
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func deploymentRetryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry DEPLOYMENT", Short: "Ask anew for what failed, timed out or was cancelled", Args: exactly(1, "the ID of a deployment"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control(cmd)
			before, err := client.Deployment(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("retry %s: %w", args[0], err)
			}
			if err := confirm(cmd, fmt.Sprintf("Overwrite the disk %s of %s?", diskOf(before.Disk), before.MachineName)); err != nil {
				return err
			}
			reply, err := client.RetryDeployment(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("retry %s: %w", args[0], err)
			}
			d := reply.Deployment
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", d.ID, d.MachineName, d.State)
			if wait, _ := cmd.Flags().GetBool("wait"); wait {
				return waitForDeployments(cmd, client, []string{d.ID})
			}
			return nil
		},
	}
	cmd.Flags().Bool("wait", false, "wait until it has ended, and fail when it did not succeed")
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func deploymentWaitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "wait DEPLOYMENT...", Short: "Wait until deployments have ended, and fail when one did not succeed", Args: atLeastOne("the IDs of deployments"),
		RunE: func(cmd *cobra.Command, args []string) error { return waitForDeployments(cmd, control(cmd), args) },
	}
	controlFlags(cmd)
	return cmd
}
