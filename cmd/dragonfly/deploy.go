package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/boot/seed"
	"dragonfly/boot/sshkeys"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

func deployCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deploy MACHINE...", Short: "Put an operating system on machines",
		Long: `Put an operating system on the disks of machines. What would be done is shown first
(the disk with its serial number, and what is on it), and asked about.

An image that is not in the image store is fetched first; until it is there the
machine stays as it is. Then a machine whose agent waits begins at once; another one
when it boots from the network. The disk is the smallest that is large enough and cannot be pulled out,
or what --disk says:

  --disk serial:S4EVNX0R        that one
  --disk "first transport:nvme" the first NVMe disk
  --disk "largest kind:ssd"     the largest SSD

A disk that is part of an array, a volume group or a pool, or that was installed
on another machine, has to be named once more: --confirm SERIAL, or --erase SERIAL
for each of many machines.`,
		Example: `  dragonfly deploy rack1-7 --os debian-12 --ssh-key ~/.ssh/id_ed25519.pub --wait
  dragonfly deploy --filter "label.rack:a1 state:ready" --os ubuntu-24.04 --concurrency 10 --yes
  dragonfly deploy rack1-7 --os debian-12 --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := deployRequest(cmd)
			if err != nil {
				return err
			}
			return deploy(cmd, req, args)
		},
	}
	deployFlags(cmd)
	cmd.Flags().String("os", "", "the operating system, see dragonfly os list (default: what is assigned to the machine)")
	cmd.Flags().String("hostname", "", "of the installed system (default: the name of the machine)")
	cmd.Flags().String("user-data", "", "`FILE` for the first boot, as the operating system takes it")
	cmd.Flags().StringArray("ssh-key", nil, "a public key that may sign in, a `FILE` of them, or a URL such as https://github.com/ana.keys; may be repeated")
	cmd.Flags().StringArray("set", nil, "KEY=VALUE, a value that the template asks for as .KEY; may be repeated")
	return cmd
}

func wipeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "wipe MACHINE...", Short: "Empty a disk of machines",
		Long: `Leave a disk of machines empty: discarded, or overwritten where it cannot be. What
would be done is shown first, and asked about. --disk says which disk, where a
machine has several.`,
		Example: "  dragonfly wipe rack1-7 --disk serial:S4EVNX0R",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := deployRequest(cmd)
			if err != nil {
				return err
			}
			req.Kind = registry.KindWipe
			return deploy(cmd, req, args)
		},
	}
	deployFlags(cmd)
	return cmd
}

func deployFlags(cmd *cobra.Command) {
	cmd.Flags().String("disk", "", "`RULE` that chooses the disk")
	cmd.Flags().String("engine", "", "what carries it out: builtin or tinkerbell; what the operating system or the appliance says where it is left out")
	cmd.Flags().String("confirm", "", "`SERIAL` of the disk, where it holds what would be lost")
	cmd.Flags().Bool("blank", false, "refuse a disk on which anything was found")
	cmd.Flags().StringArray("erase", nil, "`SERIAL` of a disk that may be erased whatever it holds; may be repeated")
	cmd.Flags().Int("concurrency", 0, "how many are under way at once; 0: all")
	cmd.Flags().Bool("dry-run", false, "tell what would be done; change nothing")
	cmd.Flags().Bool("wait", false, "wait until all have ended, and fail when one did not succeed")
	filterFlag(cmd)
}

// deployRequest is what the flags say.
func deployRequest(cmd *cobra.Command) (req registry.DeployRequest, err error) {
	text := func(name string) (value string) {
		if cmd.Flags().Lookup(name) != nil {
			value, _ = cmd.Flags().GetString(name)
		}
		return value
	}
	req = registry.DeployRequest{OS: text("os"), Disk: text("disk"), Engine: registry.Engine(text("engine")), Confirm: text("confirm")}
	req.Seed.Hostname = text("hostname")
	req.Blank, _ = cmd.Flags().GetBool("blank")
	req.Erase, _ = cmd.Flags().GetStringArray("erase")
	if cmd.Flags().Lookup("set") == nil {
		return req, nil
	}
	sets, _ := cmd.Flags().GetStringArray("set")
	if req.Parameters, err = parseSets(sets); err != nil {
		return req, err
	}
	if name := text("user-data"); name != "" {
		data, err := readInput(cmd, name, 128<<10)
		if err != nil {
			return req, fmt.Errorf("user data: %w", err)
		}
		req.Seed.UserData = string(data)
	}
	keys, _ := cmd.Flags().GetStringArray("ssh-key")
	for _, key := range keys {
		found, err := sshKeys(key)
		if err != nil {
			return req, err
		}
		req.Seed.SSHKeys = append(req.Seed.SSHKeys, found...)
	}
	return req, nil
}

// sshKeys is a public key, an address of keys, or those of a file. A private key
// does not leave this host.
func sshKeys(keyOrFile string) (keys []string, err error) {
	if seed.IsPrivate(keyOrFile) {
		return nil, usageError{fmt.Errorf("ssh key: %w", seed.ErrPrivate)}
	}
	if strings.Contains(keyOrFile, " ") || sshkeys.IsURL(keyOrFile) {
		return []string{keyOrFile}, nil
	}
	text, err := os.ReadFile(keyOrFile)
	if err != nil {
		return nil, fmt.Errorf("ssh key: %w", err)
	}
	if seed.IsPrivate(string(text)) {
		return nil, usageError{fmt.Errorf("ssh key %s: %w", keyOrFile, seed.ErrPrivate)}
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			keys = append(keys, line)
		}
	}
	if len(keys) == 0 {
		return nil, usageError{fmt.Errorf("ssh key: there is none in %s", keyOrFile)}
	}
	return keys, nil
}

// deploy shows what would be done, asks, and does it.
func deploy(cmd *cobra.Command, req registry.DeployRequest, names []string) error {
	bulk, err := selected(cmd, api.BulkRequest{}, names)
	if err != nil {
		return err
	}
	limit, _ := cmd.Flags().GetInt("concurrency")
	many := api.DeployManyRequest{Machines: bulk.Machines, Filter: bulk.Filter, Concurrency: limit, DryRun: true, Deployment: req}
	client := control(cmd)
	would, err := client.DeployMany(cmd.Context(), many)
	if err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	dryRun, _ := cmd.Flags().GetBool("dry-run")
	ids, refused := showPlans(cmd, would, dryRun)
	if dryRun || len(ids) == 0 {
		return refused
	}
	if refused != nil && len(names) > 0 { // all that were named, or none
		return refused
	}
	if err := confirm(cmd, question(req.Kind, registry.Counted(len(ids), "machine"))); err != nil {
		return err
	}
	many.DryRun, many.Filter, many.Machines = false, "", ids
	reply, err := client.DeployMany(cmd.Context(), many)
	if err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	var errs []error
	var begun []string
	for _, r := range reply.Results {
		if r.Problem != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, r.Problem))
			continue
		}
		begun = append(begun, r.Reply.Deployment.ID)
		fmt.Fprintln(cmd.OutOrStdout(), progressLine(r.Reply.Deployment))
	}
	if wait, _ := cmd.Flags().GetBool("wait"); wait {
		errs = append(errs, waitForDeployments(cmd, client, begun))
	}
	return errors.Join(errs...)
}

// showPlans says what would be done to which machine, and returns the IDs of those
// that are not refused, and why the others are. whole shows templates, too.
func showPlans(cmd *cobra.Command, would api.DeployManyReply, whole bool) (ids []string, refused error) {
	w := cmd.ErrOrStderr()
	if whole {
		w = cmd.OutOrStdout()
	}
	if len(would.Results) == 0 {
		fmt.Fprintln(w, "no machine matches")
	}
	var errs []error
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range would.Results {
		if r.Reply != nil {
			d := r.Reply.Deployment
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Name, titleOf(d), diskOf(d.Disk), d.Disk.Found)
		}
		if r.Problem != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, r.Problem))
			continue
		}
		ids = append(ids, r.ID)
	}
	table.Flush()
	for _, r := range would.Results {
		if whole && r.Reply != nil && r.Reply.Plan != nil {
			printPlan(w, r.Name, *r.Reply.Plan)
		}
	}
	return ids, errors.Join(errs...)
}

// diskOf names a disk for people.
func diskOf(d registry.DeploymentDisk) string {
	if d == (registry.DeploymentDisk{}) {
		return "no disk"
	}
	return strings.Join(strings.Fields(registry.Disk{Name: d.Name, Bytes: d.Bytes, Model: d.Model, Serial: d.Serial}.String()), " ")
}

func printPlan(w io.Writer, name string, plan api.DeployPlan) {
	for _, d := range plan.Passed {
		fmt.Fprintf(w, "%s: not %s: %s\n", name, d.Disk, d.Reason)
	}
	for _, note := range plan.Notes {
		fmt.Fprintf(w, "%s: note: %s\n", name, note)
	}
	if plan.Template != "" {
		fmt.Fprintf(w, "\n# %s\n%s\n", name, strings.TrimSuffix(plan.Template, "\n"))
	}
}

const (
	lookEvery = time.Second // at deployments that are waited for
	sayEvery  = 10 * time.Second
)

// waitForDeployments waits until deployments have ended, and says how far they are. It errs when
// one did not succeed.
func waitForDeployments(cmd *cobra.Command, client *api.Client, ids []string) error {
	var errs []error
	said := map[string]string{}
	at := map[string]time.Time{}
	for len(ids) > 0 {
		var left []string
		for _, id := range ids {
			d, err := client.Deployment(cmd.Context(), id)
			if err != nil && (cmd.Context().Err() != nil || api.Status(err) != 0 && api.Status(err) < 500) {
				return errors.Join(append(errs, fmt.Errorf("wait for %s: %w", id, err))...)
			}
			if err != nil { // the server is away; the deployment is not
				left = append(left, id)
				continue
			}
			line := progressLine(d)
			if changed := string(d.State); said[id] != changed || time.Since(at[id]) >= sayEvery {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
				said[id], at[id] = changed, time.Now()
			}
			switch {
			case !d.State.Ended():
				left = append(left, id)
			case d.State != registry.DeploymentSucceeded:
				errs = append(errs, fmt.Errorf("%s on %s: %s: %s", d.ID, d.MachineName, d.State, d.Reason))
			}
		}
		if ids = left; len(ids) > 0 && !pauseFor(cmd.Context(), lookEvery) {
			return errors.Join(append(errs, context.Cause(cmd.Context()))...)
		}
	}
	return errors.Join(errs...)
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// progressLine is how far a deployment is, in a line.
func progressLine(d api.Deployment) string {
	line := fmt.Sprintf("%s %s %s", d.ID, d.MachineName, d.State)
	if p := d.Progress; p != nil && d.Action < len(d.Actions) {
		line += fmt.Sprintf(" %.0f %%, %s", p.Percent, d.Actions[d.Action].Name)
		if p.Total > 0 {
			line += fmt.Sprintf(" %s of %s", size(p.Done), size(p.Total))
		}
		if p.Rate > 0 {
			line += fmt.Sprintf(", %s/s", size(int64(p.Rate)))
		}
		if p.Left > 0 {
			line += fmt.Sprintf(", %s left", (time.Duration(p.Left) * time.Second).Round(time.Second))
		}
	}
	if d.Image != nil {
		line += ": waiting for its image"
		if d.Image.Line != "" {
			line += ": " + d.Image.Line
		}
	}
	if d.Reason != "" {
		line += ": " + d.Reason
	}
	return line
}
