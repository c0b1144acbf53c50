package main

import (
	"context"
	"fmt"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// rule has a rule install Debian on whatever registers from then on: nobody orders it
// for the machine that is powered on next, and the one that is ready already stays so.
func (s scenario) rule(ctx context.Context, r *rack, first api.Machine) error {
	if _, err := r.offerDebian(ctx); err != nil {
		return err
	}
	other := s
	other.Machine = newVM(20, seaBIOS)
	g, err := r.newGuest(ctx, other.Machine)
	if err != nil {
		return err
	}
	if err := g.installByRule(ctx); err != nil {
		return err
	}
	powerOn := time.Now()
	if _, err := r.power(ctx, other.Machine); err != nil {
		return err
	}
	_, err = r.timeline.await(ctx, other.Machine.MAC, func(events []api.Event) bool { return registrations(events) > 0 })
	if err != nil {
		return err
	}
	m, err := r.machine(ctx, other.Machine)
	if err != nil {
		return err
	}
	ordered, err := r.api.client.AllDeployments(ctx, api.DeploymentSelection{Machine: m.ID}, 1)
	if err != nil || len(ordered) == 0 {
		return fmt.Errorf("%s has registered, and %d installations of it are listed: %w", m.Name, len(ordered), err)
	}
	in, err := g.follow(ctx, ordered[0].ID)
	if err != nil {
		return err
	}
	r.notes = append(r.notes, fmt.Sprintf("nobody ordered it: from power-on, %s", in.stages(powerOn)))
	if err := other.installed(ctx, r, m, g); err != nil {
		return err
	}
	return r.leftAlone(ctx, first)
}

// installByRule makes the rule, and the guest's key what every installed system has.
func (g *guest) installByRule(ctx context.Context) error {
	client := g.rack.api.client
	if _, err := client.SetDefaults(ctx, api.Defaults{Seed: registry.Seed{SSHKeys: []string{g.public}}}); err != nil {
		return fmt.Errorf("set the defaults: %w", err)
	}
	_, err := client.SetRules(ctx, api.Rules{Rules: []registry.Rule{{Name: "install",
		Match: registry.RuleMatch{Vendor: g.vm.Vendor}, Set: registry.RuleSetTo{OS: g.system, AutoDeploy: true}}}})
	if err != nil {
		return fmt.Errorf("set the rules: %w", err)
	}
	return nil
}

// leftAlone checks that a machine that was ready still is, with nothing ordered for it.
func (r *rack) leftAlone(ctx context.Context, before api.Machine) error {
	m, err := r.api.client.Machine(ctx, before.ID)
	if err != nil {
		return err
	}
	ordered, err := r.api.client.AllDeployments(ctx, api.DeploymentSelection{Machine: m.ID}, 1)
	if err != nil || m.State != registry.Ready || len(ordered) > 0 {
		return fmt.Errorf("%s, which was ready before there was a rule, is %s with %d installations: %w", m.Name, m.State, len(ordered), err)
	}
	return nil
}
