package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

func machineCommand() *cobra.Command {
	machine := &cobra.Command{Use: "machine", Aliases: []string{"machines"}, Short: "Machines: list, show, edit, import, lock, retire, delete",
		Long: `Machines, named by name, ID or hardware address.

A filter is a list of terms that all have to match:

  state:ready,failed   the field is one of the values
  model:~poweredge     the field has the value as a part
  label.rack:a1        a label
  -tag:old             all but
  otter                a bare word is part of a name, hardware address, serial
                       number, IP address, model or tag

Fields: id name state mac serial uuid vendor model arch host ip bmc tag owner
os online locked, and label.KEY.`}
	machine.AddCommand(machineListCommand(), machineShowCommand(), machineEditCommand(), machineTagCommand(),
		machineLockCommand(), machineUnlockCommand(), machineDeleteCommand(),
		machineRetireCommand(), machineRestoreCommand(), machineMergeCommand(), machineImportCommand())
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
			terms, _ := cmd.Flags().GetStringArray("term")
			selection := api.Selection{Filter: strings.Join(append(args, terms...), " "), Sort: sort}
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
	cmd.Flags().String("sort", "name", "name, state, vendor, model, created or registered; among equals by age; with - before it, the other way round")
	cmd.Flags().StringSlice("fields", nil, "show these members of the API's answer, such as name,hardware.disks.serial")
	cmd.Flags().StringArray("term", nil, "a term of the filter")
	_ = cmd.Flags().MarkHidden("term") // it is there
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// turnedRound lets terms such as -tag:old stand among the arguments of machine
// list, where they would be taken for flags.
func turnedRound(args []string) []string {
	if len(args) < 2 || !strings.HasPrefix(args[0], "machine") || args[1] != "list" {
		return args
	}
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" { // no flag comes after it
			break
		}
		if field, _, found := strings.Cut(arg, ":"); found && len(field) > 2 && field[0] == '-' && field[1] != '-' && !strings.Contains(field, "=") {
			args[i] = "--term=" + arg
		}
	}
	return args
}

func machineShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show MACHINE", Short: "One machine with its hardware, and what happened to it", Args: exactly(1, "the name, ID or hardware address of a machine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control(cmd)
			name, err := machineNamed(cmd, args[0])
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			m, err := client.Machine(cmd.Context(), name)
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			if form, _ := cmd.Flags().GetString("output"); form != "table" && form != "wide" {
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
		Use: "edit MACHINE", Short: "Change the name, owner, note, labels or assigned operating system of a machine",
		Example: `  dragonfly machine edit brave-otter --name rack1-7 --owner ana
  dragonfly machine edit rack1-7 --label rack=a1 --label slot-`,
		Args: exactly(1, "the name, ID or hardware address of a machine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := patchOf(cmd)
			if err != nil {
				return err
			}
			name, err := machineNamed(cmd, args[0])
			if err != nil {
				return fmt.Errorf("edit %s: %w", args[0], err)
			}
			m, err := control(cmd).Edit(cmd.Context(), name, patch)
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
	cmd.Flags().String("os", "", "the operating system to assign, such as debian-12; nothing is installed by it")
	cmd.Flags().StringArray("label", nil, "KEY=VALUE, or KEY- to take it away; may be repeated")
	controlFlags(cmd)
	return cmd
}

// patchOf is what the flags ask for.
func patchOf(cmd *cobra.Command) (p api.PatchRequest, err error) {
	for name, to := range map[string]**string{"name": &p.Name, "owner": &p.Owner, "note": &p.Note, "os": &p.OS} {
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
	if p.Name == nil && p.Owner == nil && p.Note == nil && p.OS == nil && len(labels) == 0 {
		return p, usageError{errors.New("nothing to change: give --name, --owner, --note, --os or --label")}
	}
	return p, nil
}
