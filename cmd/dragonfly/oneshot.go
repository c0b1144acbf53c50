package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// titleOf is what a deployment does, in a word.
func titleOf(d api.Deployment) string { return cmp.Or(d.OS, string(d.Kind)) }

// question is what has to be agreed to.
func question(kind registry.DeploymentKind, machines string) string {
	if kind.OneShot() {
		return fmt.Sprintf("Send %s there when they boot next? Those whose agents wait restart now.", machines)
	}
	return fmt.Sprintf("Overwrite the disks of %s?", machines)
}

func rescueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rescue MACHINE...", Short: "Let you into machines by SSH, in the agent image",
		Long: `Boot machines into the agent, once, with an SSH server for root that takes your
key, a shell and the tools of busybox. Nothing is written to a disk. dragonfly
deployment show has the address and the key of the host. Restarting the machine, or
dragonfly deployment cancel, ends it, and the machine boots as usual.`,
		Example: "  dragonfly rescue rack1-7 --ssh-key ~/.ssh/id_ed25519.pub",
		RunE: func(cmd *cobra.Command, args []string) error {
			req := registry.DeployRequest{Kind: registry.KindRescue}
			keys, _ := cmd.Flags().GetStringArray("ssh-key")
			for _, key := range keys {
				found, err := sshKeys(key)
				if err != nil {
					return err
				}
				req.Seed.SSHKeys = append(req.Seed.SSHKeys, found...)
			}
			return deploy(cmd, req, args)
		},
	}
	oneShotFlags(cmd)
	cmd.Flags().StringArray("ssh-key", nil, "a public key that may sign in, a `FILE` of them, or a URL such as https://github.com/ana.keys; may be repeated")
	return cmd
}

// toldByIPXE is what is known of a boot that iPXE carries out.
const toldByIPXE = `It fails where iPXE says that it could not start this. What has started tells
nothing: it has succeeded when the machine asks for a boot script again, when something
else is asked for on it, or after 10 minutes without a word.`

func memtestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "memtest MACHINE...", Short: "Boot machines into memtest86+, once",
		Long: `Boot machines into memtest86+, once. It shows on the screen and on the first serial
port, and goes on until the machine is restarted, which then boots as usual.

` + toldByIPXE,
		Example: "  dragonfly memtest --filter label.rack:a1 --concurrency 4 --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			return deploy(cmd, registry.DeployRequest{Kind: registry.KindMemtest}, args)
		},
	}
	oneShotFlags(cmd)
	return cmd
}

func bootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "boot MACHINE...", Short: "Boot an ISO or an iPXE script on machines, once",
		Long: `Boot machines from an ISO or with an iPXE script of your own, once; after it they
boot as usual.

The ISO is read over the network by iPXE in the place of a disc, for as long as the
firmware is asked: tools that stay with BIOS or UEFI calls work, such as FreeDOS and
firmware updates. A system that brings its own drivers does not find its disc, so
most installers do not work. The address is http, and a machine must reach it.

` + toldByIPXE,
		Example: `  dragonfly boot rack1-7 --iso http://10.0.0.2/update.iso
  dragonfly boot rack1-7 --script ./netboot.ipxe`,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := bootRequest(cmd)
			if err != nil {
				return err
			}
			return deploy(cmd, req, args)
		},
	}
	oneShotFlags(cmd)
	cmd.Flags().String("iso", "", "`URL` of an ISO")
	cmd.Flags().String("script", "", "`FILE` with an iPXE script; - is standard input")
	return cmd
}

func oneShotFlags(cmd *cobra.Command) {
	cmd.Flags().Int("concurrency", 0, "how many are under way at once; 0: all")
	cmd.Flags().Bool("dry-run", false, "tell what would be done; change nothing")
	cmd.Flags().Bool("wait", false, "wait until all have ended, and fail when one did not succeed")
	filterFlag(cmd)
}

func bootRequest(cmd *cobra.Command) (registry.DeployRequest, error) {
	iso, _ := cmd.Flags().GetString("iso")
	name, _ := cmd.Flags().GetString("script")
	if (iso == "") == (name == "") {
		return registry.DeployRequest{}, usageError{errors.New("boot: want --iso URL or --script FILE")}
	}
	if iso != "" {
		return registry.DeployRequest{Kind: registry.KindISO, ISO: iso}, nil
	}
	text, err := readInput(cmd, name, 32<<10)
	if err != nil {
		return registry.DeployRequest{}, fmt.Errorf("script: %w", err)
	}
	return registry.DeployRequest{Kind: registry.KindScript, Script: string(text)}, nil
}
