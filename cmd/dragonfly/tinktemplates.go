package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// tinkerbellTemplates is the answer to GET /api/v1/tinkerbell/templates.
type tinkerbellTemplates struct {
	Items []foreignTemplate `json:"items" nullable:"false"`
}

// foreignTemplate is a Template that Dragonfly did not make, as it is for a machine that
// is made up.
type foreignTemplate struct {
	Template string           `json:"template" doc:"what an operating system's entry names it by" example:"tinkerbell:ubuntu"`
	Actions  []templateAction `json:"actions" nullable:"false"`
	Asks     []string         `json:"asks" nullable:"false" doc:"what it asks for beside what is known of a machine: to be given as values of the entry, or as parameters of a deployment" example:"[\"img_url\"]"`
	Problems []string         `json:"problems" nullable:"false" doc:"what keeps it from being used"`
}

// templateAction is a step of a template.
type templateAction struct {
	Name  string `json:"name" example:"stream image"`
	Image string `json:"image" example:"quay.io/tinkerbell/actions/image2disk:latest"`
}

const tinkerbellTemplatesPath = "/api/v1/tinkerbell/templates"

type tinkerbellTemplatesOutput struct{ Body tinkerbellTemplates }

func (a *appliance) foreignTemplates(context.Context, *struct{}) (*tinkerbellTemplatesOutput, error) {
	if a.kube == nil {
		return nil, huma.Error409Conflict(noTinkerbell)
	}
	found, err := a.kube.hands.Templates()
	if err != nil {
		return nil, huma.Error503ServiceUnavailable(err.Error())
	}
	out := &tinkerbellTemplatesOutput{tinkerbellTemplates{Items: make([]foreignTemplate, 0, len(found))}}
	for _, f := range found {
		out.Body.Items = append(out.Body.Items, lookedAt(registry.ClusterTemplate+f.Name, f.Text))
	}
	return out, nil
}

// lookedAt is what there is to say of a template.
func lookedAt(name, text string) foreignTemplate {
	out := foreignTemplate{Template: name, Actions: []templateAction{}, Asks: []string{}, Problems: []string{}}
	t, asks, err := tryTemplate([]byte(text), tinkerbell.ExampleMachine(), nil)
	out.Asks = append(out.Asks, asks...)
	for _, p := range problemsOf(err) {
		out.Problems = append(out.Problems, p.String())
	}
	for _, task := range t.Tasks {
		for _, action := range task.Actions {
			out.Actions = append(out.Actions, templateAction{action.Name, action.Image})
		}
	}
	return out
}

func templatesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "templates", Short: "List the Templates of the cluster, which operating systems may be installed by", Args: exactly(0, "no arguments"),
		Long: `List the Templates in Kubernetes that Dragonfly did not make. Each may be the template of
an operating system in the catalogue, by the name that is listed, and is carried out by
either engine. What it asks for, beside what is known of every machine, is given as
values of that entry. Nothing is changed in Kubernetes.`,
		Example: `  dragonfly tinkerbell templates
  dragonfly os add -f - <<END
  id: ubuntu-ours
  name: Ubuntu, as the cluster installs it
  template: tinkerbell:ubuntu
  engine: tinkerbell
  first_boot: none
  END`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var there tinkerbellTemplates
			if err := control(cmd).Get(cmd.Context(), tinkerbellTemplatesPath, &there); err != nil {
				return fmt.Errorf("list templates: %w", err)
			}
			return printList(cmd, there.Items, templateColumns())
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func templateColumns() columns[foreignTemplate] {
	return columns[foreignTemplate]{
		heads: []string{"TEMPLATE", "ACTIONS", "ASKS FOR", "PROBLEM"},
		cells: func(t foreignTemplate) []string {
			names := make([]string, len(t.Actions))
			for i, a := range t.Actions {
				names[i] = a.Name
			}
			problem := ""
			if len(t.Problems) > 0 {
				problem = t.Problems[0]
			}
			return []string{t.Template, strings.Join(names, ", "), strings.Join(t.Asks, ", "), problem}
		},
		name: func(t foreignTemplate) string { return t.Template },
	}
}
