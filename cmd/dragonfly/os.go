package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/images/catalogue"
	"dragonfly/registry"
)

func osCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "os", Aliases: []string{"oses"}, Short: "Operating systems that can be deployed: list, add, disable",
		Long: `The catalogue: operating systems, each with where its images are, the template
that installs it, and what it needs. Some come with this version; they can be
disabled, or replaced by an entry of your own with the same ID. An image is
fetched when it is deployed for the first time, or by dragonfly os fetch.`}
	cmd.AddCommand(osListCommand(), osShowCommand(), osPutCommand("add"), osPutCommand("edit"), osFetchCommand(), osEnableCommand("enable"), osEnableCommand("disable"), osDeleteCommand())
	return cmd
}

func osColumns() columns[registry.OS] {
	return columns[registry.OS]{
		heads: []string{"ID", "NAME", "IMAGES", "FIRST BOOT", "USER", "FROM", "DEPLOYABLE"},
		cells: func(o registry.OS) []string {
			from := "you"
			if o.Builtin {
				from = "dragonfly"
			}
			return []string{o.ID, o.Name, imagesOf(o), string(o.FirstBoot), o.User, from, yesNo(!o.Disabled)}
		},
		name: func(o registry.OS) string { return o.ID },
	}
}

// imagesOf says for which architectures there are images, and whether they are in the
// image store.
func imagesOf(o registry.OS) string {
	if len(o.Images) == 0 {
		return "by its template"
	}
	var texts []string
	for _, arch := range slices.Sorted(maps.Keys(o.Images)) {
		switch {
		case o.Images[arch].Kernel != "":
			texts = append(texts, arch+" installer")
		case slices.Contains(o.Local, arch):
			texts = append(texts, arch+" local")
		default:
			texts = append(texts, arch+" missing")
		}
	}
	return strings.Join(texts, ", ")
}

func osListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the catalogue", Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := control(cmd).OSes(cmd.Context())
			if err != nil {
				return fmt.Errorf("list operating systems: %w", err)
			}
			return printList(cmd, all, osColumns())
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func osShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show OS", Short: "One operating system, as YAML that add and edit take", Args: exactly(1, "the ID of an operating system"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := control(cmd).OS(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			if form, _ := cmd.Flags().GetString("output"); form != "yaml" {
				return printList(cmd, []registry.OS{o}, osColumns())
			}
			text, err := catalogue.Format(o)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	cmd.Flags().StringP("output", "o", "yaml", "yaml, table, json, or name for scripts")
	controlFlags(cmd)
	return cmd
}

// maxOSFile bounds a file with operating systems, in bytes.
const maxOSFile = 1 << 20

func osPutCommand(verb string) *cobra.Command {
	short := map[string]string{"add": "Add operating systems to the catalogue", "edit": "Replace operating systems of the catalogue"}
	cmd := &cobra.Command{
		Use: verb + " -f FILE", Short: short[verb], Args: exactly(0, "no arguments but -f FILE"),
		Long: short[verb] + `. The file has one, or a list of them:

  id: mine-1
  name: Mine 1
  version: "1"
  images:
    amd64:
      url: https://images.example/mine.qcow2
      format: qcow2                 # or raw; and .gz, .xz, .zst or .bz2 behind it
      sha256: 0f5e...               # or sums: URL of a file with checksums
                                    # url may be left out for a file that is
                                    # imported: dragonfly image import FILE
    # or, for an installer: kernel, kernel_sha256, initrd, initrd_sha256
    # and command_line, as in debian-12-installer
  template: cloud-image             # one that comes with this version, a text, or
                                    # tinkerbell:NAME, a Template of its cluster
  values: {root_partition: "1", root_fs: ext4}
  user: mine
  first_boot: cloud-init            # ignition, talos, none
  engine: builtin                   # or tinkerbell; left out: that of serve --engine
  osie: hook                        # what its machines boot for Tinkerbell; left
                                    # out: that of serve --osie
  min_disk: 10 GB
  min_memory: 1 GiB
  seed: {packages: [curl]}          # what all are given at their first boot
  tag_seeds:                        # and the machines with a tag
    gpu: {packages: [nvidia-driver]}

  dragonfly os show debian-12 prints another one.`,
		Example: "  dragonfly os show debian-12 | sed s/debian-12/debian-12-lab/ | dragonfly os add -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, _ := cmd.Flags().GetString("file")
			if name == "" {
				return usageError{fmt.Errorf("want a file: %s -f FILE, or - for standard input", cmd.CommandPath())}
			}
			return putOSes(cmd, verb, name)
		},
	}
	cmd.Flags().StringP("file", "f", "", "YAML file, or - for standard input")
	controlFlags(cmd)
	return cmd
}

// putOSes adds or replaces what a file has, after all of it was looked at.
func putOSes(cmd *cobra.Command, verb, name string) error {
	text, err := readInput(cmd, name, maxOSFile)
	if err != nil {
		return fmt.Errorf("%s operating systems: %w", verb, err)
	}
	oses, err := catalogue.Parse(text)
	if err != nil {
		return fmt.Errorf("%s operating systems: %s cannot be used:\n%w", verb, name, err)
	}
	client := control(cmd)
	have, err := client.OSes(cmd.Context())
	if err != nil {
		return fmt.Errorf("%s operating systems: %w", verb, err)
	}
	for _, o := range oses {
		there := slices.ContainsFunc(have, func(h registry.OS) bool { return h.ID == o.ID })
		switch {
		case verb == "add" && there:
			return answered(http.StatusConflict, "%s is in the catalogue already; dragonfly os edit replaces it", o.ID)
		case verb == "edit" && !there:
			return answered(http.StatusNotFound, "there is no %s in the catalogue; dragonfly os add adds it", o.ID)
		}
	}
	for _, o := range oses {
		stored, err := client.PutOS(cmd.Context(), o)
		if err != nil {
			return fmt.Errorf("%s %s: %w", verb, o.ID, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is at revision %d\n", stored.ID, stored.Revision)
	}
	return nil
}

func osFetchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "fetch OS...", Short: "Have the server fetch the images of operating systems into its image store",
		Long: `Have the server fetch the images of operating systems, check them by the sums of
their entries, and convert them into what machines are given. Those that are in the
image store already are fetched again where their makers have published newer ones.
The server goes on when this command is interrupted.`,
		Example: "  dragonfly os fetch debian-12 --arch amd64",
		Args:    atLeastOne("the IDs of operating systems"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, id := range args {
				if err := fetchOS(cmd, id); err != nil {
					return fmt.Errorf("fetch %s: %w", id, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().String("arch", "", "only the image for amd64, or for arm64")
	detachFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// fetchOS fetches the images of one operating system.
func fetchOS(cmd *cobra.Command, id string) error {
	o, err := control(cmd).OS(cmd.Context(), id)
	if err != nil {
		return err
	}
	only, _ := cmd.Flags().GetString("arch")
	fetched := false
	for _, arch := range slices.Sorted(maps.Keys(o.Images)) {
		image := o.Images[arch]
		if image.URL == "" || only != "" && only != arch {
			continue
		}
		fetched = true
		job, err := control(cmd).ImportImage(cmd.Context(), image.Source(o.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		if err := followImage(cmd, job); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
	}
	if !fetched {
		return errors.New("it has no image with a URL to fetch")
	}
	return nil
}

func osEnableCommand(verb string) *cobra.Command {
	enable := verb == "enable"
	cmd := &cobra.Command{
		Use: verb + " OS...", Short: map[bool]string{true: "Let operating systems be deployed again", false: "Keep operating systems from being deployed"}[enable],
		Args: atLeastOne("the IDs of operating systems"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control(cmd)
			for _, id := range args {
				o, err := client.EnableOS(cmd.Context(), id, enable)
				if err != nil {
					return fmt.Errorf("%s %s: %w", verb, id, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", o.ID, map[bool]string{true: "may be deployed", false: "is not deployed any more"}[!o.Disabled])
			}
			return nil
		},
	}
	controlFlags(cmd)
	return cmd
}

func osDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete OS...", Short: "Take operating systems out of the catalogue; one that comes with this version is as it came then",
		Args: atLeastOne("the IDs of operating systems"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, fmt.Sprintf("Take %s out of the catalogue?", strings.Join(args, ", "))); err != nil {
				return err
			}
			client := control(cmd)
			for _, id := range args {
				if err := client.DeleteOS(cmd.Context(), id); err != nil {
					return fmt.Errorf("delete %s: %w", id, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is gone\n", id)
			}
			return nil
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// atLeastOne wants arguments.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("want %s; see %s --help", what, cmd.CommandPath())
		}
		return nil
	}
}
