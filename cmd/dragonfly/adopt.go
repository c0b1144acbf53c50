package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// tinkerbellHardware is the answer to GET /api/v1/tinkerbell/hardware.
type tinkerbellHardware struct {
	Items []foreignHardware `json:"items" nullable:"false"`
}

// foreignHardware is a Hardware that Dragonfly did not make.
type foreignHardware struct {
	Hardware string          `json:"hardware" doc:"name of the object" example:"discovery-52-54-00-12-34-56"`
	Auto     bool            `json:"auto" doc:"Tinkerbell discovered the machine by itself, or may enrol it by itself"`
	Machine  registry.Listed `json:"machine" doc:"that it is of, as an item for /api/v1/machines/import"`
}

const noTinkerbell = "Tinkerbell is not set up here: start with --kubeconfig, see tinkerbell/README.md"

const tinkerbellHardwarePath = "/api/v1/tinkerbell/hardware"

// mountTinkerbell adds what there is of Tinkerbell to the API.
func (a *appliance) mountTinkerbell() {
	huma.Register(a.api, huma.Operation{OperationID: "tinkerbell-hardware", Method: http.MethodGet, Path: tinkerbellHardwarePath,
		Summary: "The Hardware in Tinkerbell's cluster that Dragonfly did not make", Tags: []string{"machines"},
		Description: "What `machine` says may be sent to /api/v1/machines/import, which makes a machine of it. Nothing is changed in Kubernetes by either.",
		Errors:      []int{409, 503}}, a.foreignHardware)
	huma.Register(a.api, huma.Operation{OperationID: "tinkerbell-templates", Method: http.MethodGet, Path: tinkerbellTemplatesPath,
		Summary: "The Templates in Tinkerbell's cluster that Dragonfly did not make", Tags: []string{"operating systems"},
		Description: "Each may be the template of an operating system, by what `template` says. It is read anew for each deployment, and nothing of it is changed.",
		Errors:      []int{409, 503}}, a.foreignTemplates)
}

type tinkerbellHardwareOutput struct{ Body tinkerbellHardware }

func (a *appliance) foreignHardware(context.Context, *struct{}) (*tinkerbellHardwareOutput, error) {
	if a.kube == nil {
		return nil, huma.Error409Conflict(noTinkerbell)
	}
	found, err := a.kube.hands.Foreign()
	if err != nil {
		return nil, huma.Error503ServiceUnavailable("Tinkerbell at " + a.kube.cluster.Host + ": " + err.Error())
	}
	out := &tinkerbellHardwareOutput{tinkerbellHardware{Items: make([]foreignHardware, 0, len(found))}}
	for _, f := range found {
		out.Body.Items = append(out.Body.Items, foreignHardware(f))
	}
	return out, nil
}

func adoptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "adopt [HARDWARE...]", Short: "Make machines of the Hardware that Tinkerbell discovered or enrols by itself",
		Long: `Make machines here of Hardware in Kubernetes that Dragonfly did not make: of each that
Tinkerbell discovered by itself or may enrol by itself, of those that are named, or of
--all. A machine that is known already, by its serial number or an address, is brought
up to date and not made twice. Nothing is changed in Kubernetes, and nothing installed.`,
		Example: `  dragonfly tinkerbell adopt --dry-run
  dragonfly tinkerbell adopt discovery-52-54-00-12-34-56`,
		RunE: func(cmd *cobra.Command, names []string) error {
			all, _ := cmd.Flags().GetBool("all")
			dry, _ := cmd.Flags().GetBool("dry-run")
			done, err := adopt(cmd.Context(), control(cmd), hardwareChoice{names, all}, dry)
			if err != nil {
				return fmt.Errorf("adopt: %w", err)
			}
			if err := done.print(cmd); err != nil {
				return err
			}
			if dry {
				return done.verdict()
			}
			return done.refusal()
		},
	}
	cmd.Flags().Bool("all", false, "of every Hardware that Dragonfly did not make")
	cmd.Flags().Bool("dry-run", false, "show what would be done, and do nothing")
	objectFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// hardwareChoice says which Hardware is adopted.
type hardwareChoice struct {
	names []string
	all   bool
}

// pick is what is wanted of what there is. It errs where something that is named is not
// there.
func (w hardwareChoice) pick(there []foreignHardware) (picked []foreignHardware, err error) {
	missing := map[string]bool{}
	for _, name := range w.names {
		missing[name] = true
	}
	for _, h := range there {
		if missing[h.Hardware] || w.all || len(w.names) == 0 && h.Auto {
			picked = append(picked, h)
		}
		delete(missing, h.Hardware)
	}
	for _, name := range w.names {
		if missing[name] {
			return nil, answered(http.StatusNotFound, "there is no Hardware %q that Dragonfly did not make", name)
		}
	}
	return picked, nil
}

// adopt brings what is wanted as a list of machines.
func adopt(ctx context.Context, client *api.Client, w hardwareChoice, dry bool) (done applied, err error) {
	var there tinkerbellHardware
	if err := client.Get(ctx, tinkerbellHardwarePath, &there); err != nil {
		return done, err
	}
	picked, err := w.pick(there.Items)
	if err != nil {
		return done, err
	}
	return bring(ctx, client, picked, dry)
}

// bring makes machines of Hardware.
func bring(ctx context.Context, client *api.Client, picked []foreignHardware, dry bool) (done applied, err error) {
	if done.DryRun = dry; len(picked) == 0 {
		return done, nil
	}
	items := make([]registry.ImportItem, len(picked))
	for i, h := range picked {
		items[i].Listed = h.Machine
	}
	reply, err := client.Import(ctx, items, dry)
	if err != nil {
		return done, err
	}
	done.Created, done.Edited, done.Unchanged, done.Refused = reply.Created, reply.Edited, reply.Unchanged, reply.Refused
	for i, r := range reply.Results {
		r.Name = picked[i].called(r.Name)
		done.Results = append(done.Results, appliedItem{ImportResult: r})
	}
	return done, nil
}

// called is the machine's name and that of its Hardware.
func (h foreignHardware) called(machine string) string {
	if machine == "" {
		machine = namely(h.Machine)
	}
	if machine == "" || machine == h.Hardware {
		return h.Hardware
	}
	return machine + " (" + h.Hardware + ")"
}
