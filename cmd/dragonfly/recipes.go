package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"dragonfly/images/catalogue"
	"dragonfly/registry"
	"dragonfly/tinkerbell"
	"dragonfly/ui"
)

// recipes is what the pages about operating systems need of the other rooms.
func (a *appliance) recipes() ui.Recipes {
	return ui.Recipes{Try: a.tryRecipe, Format: catalogue.Format, Parse: catalogue.Parse}
}

// tryRecipe renders the template of an operating system as a deployment to a machine
// would, or for an example where none is named.
func (a *appliance) tryRecipe(ctx context.Context, o registry.OS, machine string) (t ui.Tried, err error) {
	if t.Source, err = a.registry.Template(o.Template); err != nil {
		return ui.Tried{Problems: lineProblems(err)}, nil
	}
	plan := registry.DeployPlan{Machine: tinkerbell.ExampleMachine(), Recipe: registry.Recipe{Parameters: maps.Clone(o.Values)},
		Deployment: registry.Deployment{Engine: cmp.Or(o.Engine, registry.Engine(a.cfg.Engine), registry.EngineBuiltin), OSIE: o.OSIE}}
	if machine != "" {
		if plan, err = a.registry.Preview(ctx, machine, o); err != nil {
			return t, err
		}
		t.Machine = plan.Machine.Name
	}
	recipe, err := tryText(&t, plan)
	if err == nil {
		err = a.checkActions(plan.Deployment, recipe.Actions)
	}
	t.Problems = lineProblems(err)
	t.Notes = previewNotes(plan, t.Problems)
	return t, nil
}

// tryText renders the source of t as the plan has it; where it is for an example, what
// a deployment would give is guessed.
func tryText(t *ui.Tried, plan registry.DeployPlan) (out registry.Rendered, err error) {
	data, err := tinkerbell.NewData(plan.Machine, plan.Recipe.Parameters)
	if err == nil && t.Machine == "" {
		t.Guessed, err = tinkerbell.Guess([]byte(t.Source), data)
	}
	rendered := tinkerbell.Rendered{}
	if err == nil {
		rendered, err = tinkerbell.Render([]byte(t.Source), data)
	}
	t.Text = string(rendered.Text)
	if err == nil {
		out, err = recipeOf(rendered)
	}
	return out, err
}

// previewNotes is what else than the template would keep the plan from being carried
// out, and what is worth knowing. What is wrong with the template is said by its lines.
func previewNotes(plan registry.DeployPlan, said []ui.LineProblem) (notes []string) {
	for _, problem := range plan.Problems {
		for text := range strings.Lines(problem.Error()) {
			text = strings.TrimSpace(text)
			again := func(p ui.LineProblem) bool { return strings.HasSuffix(text, p.Text) }
			if !strings.Contains(text, "its template: ") && !slices.ContainsFunc(said, again) {
				notes = append(notes, text)
			}
		}
	}
	return append(notes, plan.Notes...)
}

// lineProblems are the problems of an error, each with its line of the template where
// it has one.
func lineProblems(err error) (all []ui.LineProblem) {
	if wrong, ok := errors.AsType[*registry.InvalidError](err); ok {
		for _, f := range wrong.Fields {
			all = append(all, ui.LineProblem{Text: strings.TrimPrefix(f.Message, "its template: ")})
		}
		return all
	}
	for _, p := range problemsOf(err) {
		text := p.Text()
		if place := p.Place(); place != "" {
			text = place + ": " + text
		}
		all = append(all, ui.LineProblem{Line: p.Line, Text: text})
	}
	return all
}
