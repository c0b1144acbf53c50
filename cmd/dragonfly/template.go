package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/tinkerbell"
)

func templateCommand() *cobra.Command {
	template := &cobra.Command{Use: "template", Aliases: []string{"templates"}, Short: "Tinkerbell templates: check, render, actions",
		Long: `Templates in the format of Tinkerbell, version 0.1: a list of tasks, each a list of
actions, as a Go template that renders to YAML. A FILE is one, or has Kubernetes
objects of kind Template; - is standard input.

A template may ask for

  .device_1 .mac               hardware address the machine boots from
  .disk                        its first disk, below /dev/disk/by-id
  .arch .firmware              amd64 or arm64; bios or uefi
  .hostname .machine_name .machine_id .vendor .product .serial
  .hardware .Hardware          all of it, as Tinkerbell has it
  .anything                    what --set anything=VALUE gives

and may call Sprig's hermetic functions, formatPartition, netmaskToPrefixLength,
toYaml and fromYaml. What a deployment asks for beside that is in the templates that
come with this version: see dragonfly os list.`}
	template.AddCommand(templateCheckCommand(), templateRenderCommand(), templateActionsCommand())
	return template
}

func templateRenderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "render [FILE] --machine MACHINE", Short: "Show a template as it is for a machine", Args: cobra.MaximumNArgs(1),
		Long: `Show exactly the text that a template gives with the data of a machine of the
running appliance. What is wrong with that text is told on standard error, with the
exit code 1. Nothing is changed.

FILE is a file with a template, or - for standard input. With --os instead, it is
what a deployment of that operating system would carry out.`,
		Example: `  dragonfly template render ubuntu.yaml --machine rack1-7 --set image_url=http://images/u.raw.gz
  dragonfly template render --machine rack1-7 --os debian-12`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if name, _ := cmd.Flags().GetString("machine"); name == "" {
				return usageError{errors.New("want the machine to render for: --machine NAME")}
			}
			os, _ := cmd.Flags().GetString("os")
			if (os == "") == (len(args) == 0) {
				return usageError{errors.New("want either a file with a template, or --os")}
			}
			if os != "" {
				return renderOS(cmd, os)
			}
			machine, params, err := templateInput(cmd)
			if err != nil {
				return err
			}
			file, err := readInput(cmd, args[0], 2*tinkerbell.MaxText)
			if err != nil {
				return fmt.Errorf("render template: %w", err)
			}
			return renderFile(cmd, args[0], file, machine, params)
		},
	}
	cmd.Flags().String("os", "", "the operating system, see dragonfly os list")
	templateFlags(cmd, "the `MACHINE` of the running appliance, by name or ID")
	return cmd
}

// renderOS shows what a deployment of an operating system would carry out.
func renderOS(cmd *cobra.Command, os string) error {
	sets, _ := cmd.Flags().GetStringArray("set")
	params, err := parseSets(sets)
	if err != nil {
		return err
	}
	machine, _ := cmd.Flags().GetString("machine")
	reply, err := control(cmd).Deploy(cmd.Context(), machine, registry.DeployRequest{OS: os, Parameters: params}, true)
	if err != nil {
		return fmt.Errorf("render %s for %s: %w", os, machine, err)
	}
	fmt.Fprint(cmd.OutOrStdout(), reply.Plan.Template)
	var errs []error
	for _, problem := range reply.Plan.Problems {
		errs = append(errs, fmt.Errorf("render %s for %s: %w", os, machine, &problem))
	}
	return errors.Join(errs...)
}

func renderFile(cmd *cobra.Command, name string, file []byte, m registry.Machine, params map[string]string) error {
	data, err := tinkerbell.NewData(m, params)
	if err != nil {
		return usageError{err}
	}
	documents, err := tinkerbell.Documents(file)
	if err == nil && len(documents) != 1 {
		return fmt.Errorf("render template: %s has %d templates; want one", name, len(documents))
	}
	document := tinkerbell.Document{}
	var rendered tinkerbell.Rendered
	if err == nil {
		document = documents[0]
		rendered, err = tinkerbell.Render(document.Text, data)
	}
	if err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s", rendered.Text)
		err = useful(rendered)
	}
	if err != nil {
		var lines strings.Builder
		printFindings(&lines, findings(name, document, problemsOf(err), "error"))
		return fmt.Errorf("render a template for %s:\n%s", m.Name, strings.TrimSuffix(lines.String(), "\n"))
	}
	return nil
}

// useful is an error where the text cannot be carried out.
func useful(rendered tinkerbell.Rendered) error {
	t, err := rendered.Parse()
	if err != nil {
		return err
	}
	return t.Validate()
}

func templateActionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "actions [NAME]", Short: "List the actions whose environment is checked; with a name, its variables", Args: cobra.MaximumNArgs(1),
		Long: `List the actions whose environment is known, and therefore checked; with a name, the
variables it reads. The name is the last part of an image: quay.io/tinkerbell/actions/cexec
is cexec, from whatever registry it comes. Others are allowed, and not checked.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			actions := tinkerbell.KnownActions()
			if len(args) == 0 {
				return printList(cmd, actions, columns[tinkerbell.KnownAction]{
					heads: []string{"NAME", "WHAT IT DOES"},
					cells: func(a tinkerbell.KnownAction) []string { return []string{a.Name, a.About} },
					name:  func(a tinkerbell.KnownAction) string { return a.Name },
				})
			}
			i := slices.IndexFunc(actions, func(a tinkerbell.KnownAction) bool { return a.Name == args[0] })
			if i < 0 {
				message := fmt.Sprintf("action %q is not known", args[0])
				if near := registry.Nearest(args[0], actionNames(actions)); near != "" {
					message += "; did you mean " + near + "?"
				}
				return usageError{errors.New(message)}
			}
			return printList(cmd, actions[i].Variables, columns[tinkerbell.Variable]{
				heads: []string{"VARIABLE", "KIND", "REQUIRED", "DEFAULT", "WHAT IT IS"},
				cells: func(v tinkerbell.Variable) []string {
					return []string{v.Name, string(v.Kind), yesNo(v.Required), v.Default, v.About}
				},
				name: func(v tinkerbell.Variable) string { return v.Name },
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

func actionNames(actions []tinkerbell.KnownAction) (names []string) {
	for _, a := range actions {
		names = append(names, a.Name)
	}
	return names
}

func templateFlags(cmd *cobra.Command, machine string) {
	cmd.Flags().String("machine", "", machine)
	cmd.Flags().StringArray("set", nil, "KEY=VALUE, a value the template asks for as .KEY; may be repeated")
	controlFlags(cmd)
}

// templateInput is what --machine and --set name.
func templateInput(cmd *cobra.Command) (m registry.Machine, params map[string]string, err error) {
	sets, _ := cmd.Flags().GetStringArray("set")
	if params, err = parseSets(sets); err != nil {
		return m, nil, err
	}
	if _, err := tinkerbell.NewData(m, params); err != nil {
		return m, nil, usageError{err}
	}
	name, _ := cmd.Flags().GetString("machine")
	if name == "" {
		return tinkerbell.ExampleMachine(), params, nil
	}
	id, err := machineNamed(cmd, name)
	if err != nil {
		return m, nil, fmt.Errorf("template for %s: %w", name, err)
	}
	shown, err := control(cmd).Machine(cmd.Context(), id)
	if err != nil {
		return m, nil, fmt.Errorf("template for %s: %w", name, err)
	}
	m, err = hardwareKnown(shown)
	return m, params, err
}

// parseSets reads what --set gives, each KEY=VALUE.
func parseSets(sets []string) (map[string]string, error) {
	params := map[string]string{}
	for _, text := range sets {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return nil, usageError{fmt.Errorf("set %q: want KEY=VALUE", text)}
		}
		params[key] = value
	}
	return params, nil
}

// hardwareKnown is what a template sees of a machine that the API shows. One that
// was only seen on the wire has no hardware yet, and is refused.
func hardwareKnown(m api.Machine) (registry.Machine, error) {
	if m.Hardware == nil {
		return registry.Machine{}, fmt.Errorf("machine %s has not registered, and its hardware is not known; boot it from the network", m.Name)
	}
	return registry.Machine{ID: m.ID, Name: m.Name, State: m.State, MACs: m.MACs, Hostname: m.Hostname,
		Address: m.Address, Hardware: *m.Hardware, Tags: m.Tags, Labels: m.Labels, OS: m.OS}, nil
}
