// Command dragonfly-lab is a virtual rack: machines with real firmware (SeaBIOS
// and OVMF in QEMU) that boot from the real appliance beside a DHCP server that
// is not ours.
//
// "run" plays the ways a machine can come up, one after another, each in a rack
// of its own, and reports where the time went. Some go on from there: deploy-bios and
// deploy-uefi install a Debian that is made once of Debian's packages, sign in to it by
// SSH, wait until it has phoned home, power-cycle it, and measure how long the same
// takes by hand; deploy-pair installs two at once, deploy-again one that runs,
// deploy-grub one whose boot loader is made on it, deploy-rule one that only a rule
// ordered, deploy-worker one that only speaks Tink server's protocol; deploy-faults
// orders what cannot come to a good end, and installer what Debian's own installer says
// cannot. "demo" is a rack of two machines to look at. Everything happens in network
// namespaces named dflab-PID-...; the machine's own network is not touched, and nothing
// outlives the command.
//
// "bench" needs no virtual machine: it measures the appliance with a database of
// 100,000 machines and a thousand viewers, over the loopback address.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// The children are to die with us (see start), which the kernel takes to mean
	// with the thread that started them: that has to be the main one.
	runtime.LockOSThread()
	// Signals stay caught until the very end: a second Ctrl-C must not
	// interrupt the cleaning up that the first one started.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dragonfly-lab:", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "dragonfly-lab",
		Short:         "A virtual rack that boots from the real appliance",
		SilenceUsage:  true,
		SilenceErrors: true,
		// Runs before either subcommand: both need the tools and a clean table.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if err := removeLeftovers(cmd.Context(), os.TempDir()); err != nil {
				return fmt.Errorf("remove what an earlier run left: %w", err)
			}
			return o.findROMs(cmd)
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.Dragonfly, "dragonfly", "bin/dragonfly", "the appliance's binary")
	flags.StringVar(&o.ImageDir, "image-dir", "bin/images", "the agent image and the boot programs")
	flags.StringVar(&o.Accel, "accel", "tcg", "tcg (software emulation) or kvm")
	flags.StringVar(&o.ROMs, "roms", "", "directory of QEMU's network ROMs (default: Debian 13's, fetched once)")
	flags.BoolVar(&o.Keep, "keep", false, "keep the logs and packets of boots that went well, too")
	root.AddCommand(runCommand(&o), demoCommand(&o), benchCommand(), naiveCommand(), filesCommand(), shotsCommand(), lighthouseCommand())
	return root
}

// findROMs makes sure of good network ROMs. Without them the BIOS machines
// still boot, only slowly.
func (o *options) findROMs(cmd *cobra.Command) error {
	if o.ROMs != "" {
		return nil
	}
	roms, err := fetchROMs(cmd.Context())
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "using QEMU's own network ROMs, which may be slow: %v\n", err)
	}
	o.ROMs = roms
	return cmd.Context().Err()
}
