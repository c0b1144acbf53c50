package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/manifest"
)

func defaultsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "defaults", Short: "What every deployment begins from: keys, users, packages, network, user data",
		Long: `What every deployment begins from, set once:

  timezone: Europe/Vienna
  ssh_keys:                     # of the image's own user; keys, or an address of them
  - https://github.com/ana.keys
  users:
  - name: ana
    groups: [adm]
    sudo: true
    password_hash: $6$...       # mkpasswd -m sha-512; "kept" stays what is stored
    ssh_keys: [ssh-ed25519 AAAA... ana@desk]
  packages: [curl]
  commands: [systemctl enable --now qemu-guest-agent]
  network:                      # left out: as the image has it, DHCP as a rule
    ethernets:
    - name: lan0                # no mac: the port that the machine boots from
    vlans:
    - {name: lan0.42, id: 42, on: lan0, dhcp4: true}
  user_data: |                  # for cloud-init, beside what is made of the above
    #cloud-config
    locale: de_AT.UTF-8

Over it lie, each beside or before the one before it: what the operating system
gives ("dragonfly os show"), what it gives machines with a tag, and what a
deployment asks for. Lists add up, users by their names; of one value, such as the
time zone, the last one counts. What the first boot of an operating system cannot
take, such as packages on Talos, is left out for it, and "dragonfly deploy
--dry-run" says so. Names and fixed addresses are each machine's own, and refused.`}
	cmd.AddCommand(defaultsShowCommand(), defaultsEditCommand())
	return cmd
}

func defaultsShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Short: "Show them, in the form that edit takes", Args: exactly(0, "no arguments"),
		Example: "  dragonfly defaults show > defaults.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			defaults, err := control(cmd).Defaults(cmd.Context())
			if err != nil {
				return fmt.Errorf("show the defaults: %w", err)
			}
			if defaults.Stale {
				fmt.Fprintln(cmd.ErrOrStderr(), "the database is away: this is what was known last")
			}
			if form, _ := cmd.Flags().GetString("output"); form != "yaml" {
				return printValue(cmd, defaults, nil)
			}
			text, err := manifest.Marshal(defaults)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	formFlag(cmd, "yaml or json", "yaml", "json")
	controlFlags(cmd)
	return cmd
}

func defaultsEditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "edit -f FILE", Short: "Replace them by those of a file", Args: exactly(0, "no arguments but -f FILE"),
		Long: `Replace the defaults by those of a file, YAML or JSON, as "defaults show" writes it:
what the file leaves out is taken away, and {} takes away all. Where the file has a
version, nothing is replaced that somebody else has changed meanwhile. Deployments
that were asked for stay as they are.`,
		Example: `  dragonfly defaults show > defaults.yaml
  dragonfly defaults edit -f defaults.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defaults, err := readDefaults(cmd)
			if err != nil {
				return err
			}
			stored, err := control(cmd).SetDefaults(cmd.Context(), defaults)
			if err != nil {
				return fmt.Errorf("edit the defaults: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the defaults are at version %d: %s, %s, %s\n", stored.Version, registry.Counted(len(stored.SSHKeys), "SSH key"),
				registry.Counted(len(stored.Users), "user"), registry.Counted(len(stored.Packages), "package"))
			return nil
		},
	}
	cmd.Flags().StringP("file", "f", "", "YAML or JSON `FILE`; - for standard input")
	controlFlags(cmd)
	return cmd
}

// readDefaults reads the file that -f names.
func readDefaults(cmd *cobra.Command) (defaults api.Defaults, err error) {
	name, _ := cmd.Flags().GetString("file")
	if name == "" {
		return defaults, usageError{errors.New("want a file with the defaults: -f FILE, or - for standard input")}
	}
	text, err := readInput(cmd, name, maxFile)
	if err == nil {
		err = manifest.Unmarshal(text, &defaults)
	}
	if err != nil {
		return defaults, fmt.Errorf("read the defaults from %s: %w", name, err)
	}
	return defaults, nil
}
