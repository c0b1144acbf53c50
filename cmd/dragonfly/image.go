package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"dragonfly/images"
)

func imageCommand() *cobra.Command {
	image := &cobra.Command{Use: "image", Short: "What machines boot, and what they are installed from"}
	build := &cobra.Command{
		Use:   "build",
		Short: "Fetch and build the agent image and the network boot programs",
		Long: `Build what machines boot, from Debian 13's packages: the kernel, an initramfs with
the agent and the drivers of servers, and the iPXE programs. Packages come from
the mirror this host uses, through a private apt root; the host is not changed.
The same inputs give the same bytes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := imageOptions(cmd)
			if err != nil {
				return err
			}
			report, err := images.Build(cmd.Context(), options)
			if err != nil {
				return fmt.Errorf("build the image: %w", err)
			}
			_, err = report.WriteTo(cmd.OutOrStdout())
			return err
		},
	}
	build.Flags().String("arch", runtime.GOARCH, "amd64 or arm64")
	build.Flags().String("flavour", "full", `"full" has the drivers of servers; "cloud" is small and has those of virtual machines only`)
	build.Flags().String("agent", "", "agent binary (default: dragonfly-agent beside this program, or in ../lib/dragonfly)")
	build.Flags().String("out", filepath.Join(defaultDataDir, "images"), "directory to build into")
	build.Flags().String("cache", "", "directory for downloaded packages (default OUT/../cache)")
	image.AddCommand(build)
	image.AddCommand(storeCommands()...)
	return image
}

func imageOptions(cmd *cobra.Command) (images.Options, error) {
	flag := func(name string) string {
		value, _ := cmd.Flags().GetString(name)
		return value
	}
	o := images.Options{Arch: flag("arch"), Flavour: flag("flavour"), Agent: flag("agent"),
		Out: flag("out"), Cache: flag("cache"), Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))}
	if o.Cache == "" {
		o.Cache = filepath.Join(filepath.Dir(filepath.Clean(o.Out)), "cache")
	}
	if o.Agent != "" {
		return o, nil
	}
	self, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find the agent: %w", err)
	}
	for _, path := range []string{"dragonfly-agent", "../lib/dragonfly/dragonfly-agent"} {
		path = filepath.Join(filepath.Dir(self), path)
		if _, err := os.Stat(path); err == nil {
			o.Agent = path
			return o, nil
		}
	}
	return o, errors.New("there is no dragonfly-agent beside this program: name it with --agent")
}
