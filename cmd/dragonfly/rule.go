package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/manifest"
)

func ruleCommand() *cobra.Command {
	rule := &cobra.Command{Use: "rule", Aliases: []string{"rules"}, Short: "Rules on registration: what a new machine is called and given",
		Long: `Rules on registration. Each has what a machine must match, and what it is given
when it registers for the first time:

  rules:
  - name: rack 1
    match:                      # all of these; nothing matches every machine
      vendor: Dell*             # also model and serial: patterns with * ? [a-z]
      mac_prefix: 52:54:00
      subnet: 192.0.2.0/24      # of the address it registers from
      bmc: true                 # has a management controller
    set:
      name_pattern: rack1-{n:3} # {serial} {mac} {vendor} {model} {uuid}, and {n},
                                # the lowest number that is free
      tags: [gpu]
      labels: {rack: a1}
      owner: lab
      os: debian-12             # assigned; nothing is installed by that alone
      auto_deploy: false        # true installs it as soon as the machine has
                                # registered, if its disk is blank
      concurrency: 20           # as many of them at once; 0: all
    disabled: false             # true keeps it, and does not try it

Rules are tried in their order. All that match are applied; of what a machine has
one of, such as the name, the first rule that sets it wins. What an operator has
said of a machine before it registers stays. Its timeline names the rules.`}
	rule.AddCommand(ruleListCommand(), ruleEditCommand(), ruleTestCommand())
	return rule
}

func ruleListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the rules; as YAML or JSON, in the form that edit takes", Args: cobra.NoArgs,
		Example: "  dragonfly rule list -o yaml > rules.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := control(cmd).Rules(cmd.Context())
			if err != nil {
				return fmt.Errorf("list rules: %w", err)
			}
			return printValue(cmd, rules, func(io.Writer) error {
				return printList(cmd, rules.Rules, columns[registry.Rule]{
					heads: []string{"NAME", "MATCH", "SET", "ENABLED"},
					cells: func(r registry.Rule) []string {
						return []string{r.Name, inLine(r.Match), inLine(r.Set), yesNo(!r.Disabled)}
					},
					name: func(r registry.Rule) string { return r.Name },
				})
			})
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// inLine is a part of a rule in one line, as YAML would have it.
func inLine(part any) string {
	text, err := yaml.Marshal(part)
	if err != nil {
		return err.Error()
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return err.Error()
	}
	var words []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		words = append(words, key+": "+strings.TrimPrefix(fmt.Sprint(fields[key]), "map"))
	}
	return strings.Join(words, ", ")
}

func ruleEditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit -f FILE", Short: "Replace the rules by those of a file", Args: cobra.NoArgs,
		Long: `Replace the rules by those of a file, YAML or JSON, as "rule list -o yaml" writes
it. Where the file has the version of the set, nothing is replaced that somebody
else has changed meanwhile. Machines that have registered keep what they have.`,
		Example: `  dragonfly rule list -o yaml > rules.yaml
  dragonfly rule edit -f rules.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rules, err := readRules(cmd)
			if err != nil {
				return err
			}
			stored, err := control(cmd).SetRules(cmd.Context(), rules)
			if err != nil {
				return fmt.Errorf("edit rules: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the rules are at version %d: %s\n", stored.Version, registry.Counted(len(stored.Rules), "rule"))
			return nil
		},
	}
	cmd.Flags().StringP("file", "f", "", "YAML or JSON `FILE`; - for standard input")
	controlFlags(cmd)
	return cmd
}

// maxFile bounds what is read of a file of rules.
const maxFile = 1 << 20

// readRules reads the file that -f names: a set, or only its rules.
func readRules(cmd *cobra.Command) (rules api.Rules, err error) {
	name, _ := cmd.Flags().GetString("file")
	if name == "" {
		return rules, usageError{errors.New("want a file with rules: -f FILE, or - for standard input")}
	}
	text, err := readInput(cmd, name, maxFile)
	if err != nil {
		return rules, fmt.Errorf("read rules: %w", err)
	}
	err = decodeRules(text, &rules)
	if err == nil && rules.Rules == nil {
		err = errors.New("there are none; a list without any is written as []")
	}
	if err != nil {
		return rules, fmt.Errorf("read rules from %s: %w", name, err)
	}
	return rules, nil
}

// decodeRules reads a set, or only its rules.
func decodeRules(text []byte, rules *api.Rules) error {
	var bare []any
	if yaml.Unmarshal(text, &bare) == nil {
		return manifest.Unmarshal(text, &rules.Rules)
	}
	return manifest.Unmarshal(text, rules)
}

func ruleTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test MACHINE [-f FILE]", Short: "What the rules would make of a machine, without changing anything",
		Long: `What the rules would make of a machine if it registered now, for the first time,
with the hardware that is known of it. With -f, the rules of a file are tried.`,
		Args: exactly(1, "the name or ID of a machine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := machineNamed(cmd, args[0])
			if err != nil {
				return fmt.Errorf("test rules on %s: %w", args[0], err)
			}
			test := api.RulesTest{Machine: name}
			if cmd.Flags().Changed("file") {
				rules, err := readRules(cmd)
				if err != nil {
					return err
				}
				test.Rules = rules.Rules
			}
			trial, err := control(cmd).TestRules(cmd.Context(), test)
			if err != nil {
				return fmt.Errorf("test rules on %s: %w", args[0], err)
			}
			return printValue(cmd, trial, func(w io.Writer) error { return printTrial(w, trial) })
		},
	}
	cmd.Flags().StringP("file", "f", "", "try the rules of this `FILE`; - for standard input")
	objectFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// printTrial writes a trial for people: each rule, then what the machine would be.
func printTrial(w io.Writer, trial api.RulesTrial) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tAPPLIES\tBECAUSE")
	for _, v := range trial.Verdicts {
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.Rule, yesNo(v.Applies), v.Because)
	}
	fmt.Fprintln(table)
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(trial.Labels)) {
		labels = append(labels, key+"="+trial.Labels[key])
	}
	for _, line := range [][2]string{{"Name", trial.Name}, {"Owner", trial.Owner}, {"Tags", strings.Join(trial.Tags, " ")},
		{"Labels", strings.Join(labels, " ")}, {"Operating system", trial.OS}} {
		if line[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
		}
	}
	return table.Flush()
}
