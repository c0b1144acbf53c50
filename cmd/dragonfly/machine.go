package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

func machineCommand() *cobra.Command {
	machine := &cobra.Command{Use: "machine", Aliases: []string{"machines"}, Short: "Machines: list, show, edit, lock, retire, delete",
		Long: `Machines, named by name or ID.

A filter is a list of terms that all have to match:

  state:ready,failed   the field is one of the values
  model:~poweredge     the field has the value as a part
  label.rack:a1        a label
  -tag:old             all but
  otter                a bare word is part of a name, hardware address, serial
                       number, IP address, model or tag

Fields: id name state mac serial uuid vendor model arch host ip bmc tag owner
online locked, and label.KEY.`}
	machine.AddCommand(machineListCommand(), machineShowCommand(), machineEditCommand(), machineTagCommand(),
		machineLockCommand(), machineUnlockCommand(), machineDeleteCommand(),
		machineStepCommand("retire", "Take machines out of use; they boot from their own disks", (*api.Client).Retire),
		machineStepCommand("restore", "Bring retired machines back", (*api.Client).Restore))
	return machine
}

// machineColumns are what a list of machines shows; wide adds the rest.
func machineColumns(wide bool) columns[api.Machine] {
	show := columns[api.Machine]{
		heads: []string{"NAME", "STATE", "ONLINE", "MODEL", "SERIAL", "MAC", "TAGS"},
		cells: func(m api.Machine) []string {
			return []string{m.Name, string(m.State), yesNo(m.Online), strings.TrimSpace(m.Vendor + " " + m.Model), m.Serial, bootMAC(m), strings.Join(m.Tags, ",")}
		},
		name: func(m api.Machine) string { return m.Name },
	}
	if !wide {
		return show
	}
	narrow := show.cells
	show.heads = append(show.heads, "ADDRESS", "OWNER", "LOCKED BY", "SEEN", "ID")
	show.cells = func(m api.Machine) []string {
		address, lockedBy := "", ""
		if m.Address.IsValid() {
			address = m.Address.String()
		}
		if m.Lock != nil {
			lockedBy = m.Lock.By
		}
		return append(narrow(m), address, m.Owner, lockedBy, moment(m.SeenAt), m.ID)
	}
	return show
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func bootMAC(m api.Machine) string {
	if len(m.MACs) == 0 {
		return ""
	}
	return m.MACs[0].String()
}

func machineListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [FILTER...]", Short: "List machines",
		Example: `  dragonfly machine list state:ready tag:gpu
  dragonfly machine list --sort -registered -o wide
  dragonfly machine list --fields name,hardware.memory.bytes,hardware.disks.serial
  dragonfly machine lock $(dragonfly machine list owner:ana -o name)`,
		RunE: func(cmd *cobra.Command, args []string) error {
			sort, _ := cmd.Flags().GetString("sort")
			selection := api.Selection{Filter: strings.Join(args, " "), Sort: sort}
			if fields, _ := cmd.Flags().GetStringSlice("fields"); len(fields) > 0 {
				return listFields(cmd, selection, fields)
			}
			machines, err := control(cmd).AllMachines(cmd.Context(), selection)
			if err != nil {
				return fmt.Errorf("list machines: %w", err)
			}
			return printList(cmd, machines, machineColumns(isWide(cmd)))
		},
	}
	cmd.Flags().String("sort", "name", "name, state, vendor, model, created or registered; with - before it, the other way round")
	cmd.Flags().StringSlice("fields", nil, "show these members of the API's answer, such as name,hardware.disks.serial")
	wideFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func machineShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show MACHINE", Short: "One machine with its hardware, and what happened to it", Args: exactly(1, "the name or ID of a machine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control(cmd)
			m, err := client.Machine(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			if form, _ := cmd.Flags().GetString("output"); form != "table" {
				return printList(cmd, []api.Machine{m}, machineColumns(false))
			}
			events, err := client.Timeline(cmd.Context(), m.ID, 20)
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			printMachine(cmd.OutOrStdout(), m, events)
			return nil
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func machineEditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit MACHINE", Short: "Change the name, owner, note or labels of a machine",
		Example: `  dragonfly machine edit brave-otter --name rack1-7 --owner ana
  dragonfly machine edit rack1-7 --label rack=a1 --label slot-`,
		Args: exactly(1, "the name or ID of a machine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := patchOf(cmd)
			if err != nil {
				return err
			}
			m, err := control(cmd).Edit(cmd.Context(), args[0], patch)
			if err != nil {
				return fmt.Errorf("edit %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is at version %d\n", m.Name, m.Version)
			return nil
		},
	}
	cmd.Flags().String("name", "", "a new name, as in a host name")
	cmd.Flags().String("owner", "", "who it is for")
	cmd.Flags().String("note", "", "anything others should know")
	cmd.Flags().StringArray("label", nil, "KEY=VALUE, or KEY- to take it away; may be repeated")
	controlFlags(cmd)
	return cmd
}

// patchOf is what the flags ask for.
func patchOf(cmd *cobra.Command) (p api.PatchRequest, err error) {
	for name, to := range map[string]**string{"name": &p.Name, "owner": &p.Owner, "note": &p.Note} {
		if cmd.Flags().Changed(name) {
			value, _ := cmd.Flags().GetString(name)
			*to = &value
		}
	}
	labels, _ := cmd.Flags().GetStringArray("label")
	p.Labels = map[string]*string{}
	for _, text := range labels {
		key, value, set := strings.Cut(text, "=")
		switch bare, unset := strings.CutSuffix(text, "-"); {
		case set && key != "":
			p.Labels[key] = &value
		case unset && bare != "":
			p.Labels[bare] = nil
		default:
			return p, usageError{fmt.Errorf("label %q: want KEY=VALUE, or KEY- to take it away", text)}
		}
	}
	if p.Name == nil && p.Owner == nil && p.Note == nil && len(labels) == 0 {
		return p, usageError{errors.New("nothing to change: give --name, --owner, --note or --label")}
	}
	return p, nil
}

func machineTagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tag MACHINE [TAG...] [TAG-...]", Short: "Give a machine tags, and with - behind them take them away",
		Example: "  dragonfly machine tag brave-otter gpu lab old-",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usageError{fmt.Errorf("want a machine and tags; see %s --help", cmd.CommandPath())}
			}
			m, err := retag(cmd.Context(), control(cmd), args[0], args[1:])
			if err != nil {
				return fmt.Errorf("tag %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", m.Name, strings.Join(m.Tags, " "))
			return nil
		},
	}
	controlFlags(cmd)
	return cmd
}

// retag puts tags in and takes out those that end in "-".
func retag(ctx context.Context, client *api.Client, id string, changes []string) (api.Machine, error) {
	m, err := client.Machine(ctx, id)
	if err != nil {
		return m, err
	}
	have := map[string]bool{}
	for _, tag := range m.Tags {
		have[tag] = true
	}
	for _, tag := range changes {
		bare, gone := strings.CutSuffix(tag, "-")
		have[bare] = !gone
	}
	tags := []string{}
	for tag, keep := range have {
		if keep {
			tags = append(tags, tag)
		}
	}
	return client.EditAt(ctx, m.ID, m.Version, api.PatchRequest{Tags: &tags})
}

// forEach does something to every machine named and goes on after a failure.
func forEach(args []string, do func(id string) error) error {
	var errs []error
	for _, id := range args {
		if err := do(id); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func machineStepCommand(verb, short string, do func(*api.Client, context.Context, string) (api.Machine, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " MACHINE...", Short: short, Args: atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(args, func(id string) error {
				m, err := do(control(cmd), cmd.Context(), id)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", m.Name, m.State)
				}
				return err
			})
		},
	}
	controlFlags(cmd)
	return cmd
}

func machineLockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock MACHINE...", Short: "Keep machines from whatever destroys", Args: atLeastOne,
		Example: `  dragonfly machine lock brave-otter --note "its disk is being copied"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			note, _ := cmd.Flags().GetString("note")
			return forEach(args, func(id string) error {
				m, err := control(cmd).Lock(cmd.Context(), id, note)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s is locked\n", m.Name)
				}
				return err
			})
		},
	}
	cmd.Flags().String("note", "", "why, for whoever comes upon it")
	controlFlags(cmd)
	return cmd
}

func machineUnlockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unlock MACHINE...", Short: "Take locks away", Args: atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			force, _ := cmd.Flags().GetBool("force")
			return forEach(args, func(id string) error {
				m, err := control(cmd).Unlock(cmd.Context(), id, force)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s is not locked\n", m.Name)
				}
				return err
			})
		},
	}
	cmd.Flags().Bool("force", false, "also a lock of somebody else")
	controlFlags(cmd)
	return cmd
}

func machineDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete MACHINE...", Short: "Forget machines; one that boots from the network is discovered anew", Args: atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, fmt.Sprintf("Forget %s, with hardware and history?", strings.Join(args, ", "))); err != nil {
				return err
			}
			return forEach(args, func(id string) error {
				err := control(cmd).Delete(cmd.Context(), id)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s is gone\n", id)
				}
				return err
			})
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func atLeastOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("want the names or IDs of machines; see %s --help", cmd.CommandPath())}
	}
	return nil
}
