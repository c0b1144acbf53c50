package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// filterFlag adds the other way to say which machines a command is about.
func filterFlag(cmd *cobra.Command) {
	cmd.Flags().String("filter", "", "all machines that match instead, such as \"state:ready tag:gpu\"; asks before it changes them")
	yesFlag(cmd)
	controlFlags(cmd)
}

// selected is req for the machines that the arguments name, or that --filter
// selects.
func selected(cmd *cobra.Command, req api.BulkRequest, names []string) (_ api.BulkRequest, err error) {
	req.Filter, _ = cmd.Flags().GetString("filter")
	if (req.Filter == "") == (len(names) == 0) {
		return req, usageError{fmt.Errorf("want either the names or IDs of machines, or --filter; see %s --help", cmd.CommandPath())}
	}
	req.Machines, err = machinesNamed(cmd, names)
	return req, err
}

// bulk carries out req and says of each machine that it is done, in the words
// given. What a filter selects is shown first, and what was shown is what is
// changed, not what matches by then.
func bulk(cmd *cobra.Command, req api.BulkRequest, done string) error {
	client := control(cmd)
	if req.Filter != "" {
		preview := req
		preview.DryRun = true
		would, err := client.Bulk(cmd.Context(), preview)
		if err != nil {
			return fmt.Errorf("%s machines: %w", req.Action, err)
		}
		var refused error
		if req.Machines, refused = show(cmd.ErrOrStderr(), req, would); len(req.Machines) == 0 {
			return refused
		}
		if err := confirm(cmd, fmt.Sprintf("%s %s?", verbOf(req.Action), registry.Counted(len(req.Machines), "machine"))); err != nil {
			return err
		}
		req.Filter = ""
	}
	reply, err := client.Bulk(cmd.Context(), req)
	if err != nil {
		return fmt.Errorf("%s machines: %w", req.Action, err)
	}
	var errs []error
	for _, r := range reply.Results {
		if r.Problem != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, r.Problem))
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", r.Name, done)
	}
	return errors.Join(errs...)
}

// maxShown is how many machines a preview names.
const maxShown = 20

// show says what a filter selects, and why some of it is refused. It returns the
// IDs of the others, or why there are none.
func show(w io.Writer, req api.BulkRequest, would api.BulkReply) (ids []string, refused error) {
	if len(would.Results) == 0 {
		fmt.Fprintf(w, "no machine matches %s\n", req.Filter)
		return nil, nil
	}
	var names []string
	for _, r := range would.Results {
		if r.Problem != nil {
			fmt.Fprintln(w, r.Problem.Detail)
			if refused == nil {
				refused = reworded{errors.New("no machine is left to " + req.Action), r.Problem}
			}
			continue
		}
		ids, names = append(ids, r.ID), append(names, r.Name)
	}
	if len(ids) == 0 {
		return nil, refused
	}
	more := ""
	if len(names) > maxShown {
		names, more = names[:maxShown], fmt.Sprintf(" and %d more", len(ids)-maxShown)
	}
	fmt.Fprintf(w, "%s to %s: %s%s\n", registry.Counted(len(ids), "machine"), req.Action, strings.Join(names, " "), more)
	return ids, nil
}

// verbOf is an action at the start of a question.
func verbOf(action string) string { return strings.ToUpper(action[:1]) + action[1:] }

func machineRetireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retire MACHINE...", Short: "Take machines out of use; they boot from their own disks",
		Example: "  dragonfly machine retire --filter 'label.rack:a1 -state:retired'",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := selected(cmd, api.BulkRequest{Action: "retire"}, args)
			if err != nil {
				return err
			}
			return bulk(cmd, req, "is retired")
		},
	}
	filterFlag(cmd)
	return cmd
}

func machineRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore MACHINE...", Short: "Bring machines back that are retired or failed, as ready",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := selected(cmd, api.BulkRequest{Action: "restore"}, args)
			if err != nil {
				return err
			}
			return bulk(cmd, req, "is ready")
		},
	}
	filterFlag(cmd)
	return cmd
}

func machineLockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock MACHINE...", Short: "Keep machines from whatever destroys",
		Example: `  dragonfly machine lock brave-otter --note "its disk is being copied"
  dragonfly machine lock --filter owner:ana`,
		RunE: func(cmd *cobra.Command, args []string) error {
			note, _ := cmd.Flags().GetString("note")
			req, err := selected(cmd, api.BulkRequest{Action: "lock", Note: note}, args)
			if err != nil {
				return err
			}
			return bulk(cmd, req, "is locked")
		},
	}
	cmd.Flags().String("note", "", "why, for whoever comes upon it")
	filterFlag(cmd)
	return cmd
}

func machineUnlockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unlock MACHINE...", Short: "Take locks away",
		RunE: func(cmd *cobra.Command, args []string) error {
			force, _ := cmd.Flags().GetBool("force")
			req, err := selected(cmd, api.BulkRequest{Action: "unlock", Force: force}, args)
			if err != nil {
				return err
			}
			return bulk(cmd, req, "is not locked")
		},
	}
	cmd.Flags().Bool("force", false, "also a lock of somebody else")
	filterFlag(cmd)
	return cmd
}

func machineDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete MACHINE...", Short: "Forget machines; one that boots from the network is discovered anew",
		Example: "  dragonfly machine delete --filter state:retired",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := selected(cmd, api.BulkRequest{Action: "delete"}, args)
			if err != nil {
				return err
			}
			if req.Filter == "" {
				if err := confirm(cmd, fmt.Sprintf("Forget %s, with hardware and history?", strings.Join(args, ", "))); err != nil {
					return err
				}
			}
			return bulk(cmd, req, "is gone")
		},
	}
	filterFlag(cmd)
	return cmd
}

func machineTagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tag MACHINE [TAG...] [TAG-...]", Short: "Give a machine tags, and with - behind them take them away",
		Example: `  dragonfly machine tag brave-otter gpu lab old-
  dragonfly machine tag --filter model:~r760 gpu`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if filter, _ := cmd.Flags().GetString("filter"); filter != "" && len(args) > 0 {
				patch := retag(args)
				return bulk(cmd, api.BulkRequest{Action: "edit", Edit: &patch, Filter: filter}, "is tagged")
			}
			if len(args) < 2 {
				return usageError{fmt.Errorf("want a machine, or --filter, and tags; see %s --help", cmd.CommandPath())}
			}
			name, err := machineNamed(cmd, args[0])
			if err != nil {
				return fmt.Errorf("tag %s: %w", args[0], err)
			}
			m, err := control(cmd).Edit(cmd.Context(), name, retag(args[1:]))
			if err != nil {
				return fmt.Errorf("tag %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", m.Name, strings.Join(m.Tags, " "))
			return nil
		},
	}
	filterFlag(cmd)
	return cmd
}

// retag puts tags in and takes out those that end in "-".
func retag(changes []string) (p api.PatchRequest) {
	for _, tag := range changes {
		if bare, gone := strings.CutSuffix(tag, "-"); gone {
			p.RemoveTags = append(p.RemoveTags, bare)
		} else {
			p.AddTags = append(p.AddTags, tag)
		}
	}
	return p
}
