package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// pair has a second machine, of the other firmware, boot too, and Debian installed on
// both at once.
func (s scenario) pair(ctx context.Context, r *rack, first api.Machine) error {
	if _, err := r.offerDebian(ctx); err != nil {
		return err
	}
	other := s
	other.Machine, other.Program = newVM(11, ovmf), "snponly.efi by TFTP"
	_, second, err := other.boot(ctx, r)
	if err != nil {
		return err
	}
	order := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	notes := make([]string, 2)
	for i, at := range []struct {
		scenario
		api.Machine
	}{{s, first}, {other, second}} {
		group.Go(func() error {
			g, err := r.newGuest(ctx, at.scenario.Machine)
			if err != nil {
				return err
			}
			in, err := g.install(ctx, at.Machine)
			if err != nil {
				return fmt.Errorf("%s: %w", at.scenario.Machine.Name, err)
			}
			notes[i] = at.scenario.Machine.Name + ": " + in.stages(order)
			return at.installed(ctx, r, at.Machine, g)
		})
	}
	err = group.Wait()
	r.notes = append(r.notes, notes...)
	return err
}

// again takes an installation back while its first boot is awaited. What was written
// stays, and is told; the machine, which runs it, is then installed anew, through a
// restart of its own.
func (s scenario) again(ctx context.Context, r *rack, m api.Machine) error {
	if _, err := r.offerDebian(ctx); err != nil {
		return err
	}
	g, err := r.newGuest(ctx, s.Machine)
	if err != nil {
		return err
	}
	id, err := g.order(ctx, m)
	if err != nil {
		return err
	}
	if _, err := r.until(ctx, id, registry.DeploymentVerifying); err != nil {
		return err
	}
	d, err := r.api.client.CancelDeployment(ctx, id)
	if err != nil {
		return err
	}
	if d.State != registry.DeploymentCancelled || !d.Wrote {
		return fmt.Errorf("cancelled at its first boot it is %s, written %v", d.State, d.Wrote)
	}
	r.notes = append(r.notes, "ok: cancelled while the first boot is awaited: "+d.Reason)
	if err := r.stays(ctx, m, registry.Failed, d.Reason); err != nil {
		return err
	}
	if _, err := g.login(ctx, ""); err != nil {
		return fmt.Errorf("the system that was written: %w", err)
	}
	return s.redo(ctx, r, m, g)
}

// hostKey prints what the first boot of an installation makes. The ID of the machine is
// no such thing: systemd takes that of the firmware in a virtual one.
const hostKey = "cat /etc/ssh/ssh_host_ed25519_key.pub"

// redo installs a machine that runs what was installed before.
func (s scenario) redo(ctx context.Context, r *rack, m api.Machine, g *guest) error {
	old, err := g.run(ctx, hostKey)
	if err != nil {
		return err
	}
	id, err := g.order(ctx, m)
	if err != nil {
		return err
	}
	if err := g.reset(ctx); err != nil {
		return err
	}
	if _, err := r.until(ctx, id, registry.DeploymentSucceeded); err != nil {
		return err
	}
	if _, err := g.login(ctx, ""); err != nil {
		return err
	}
	now, err := g.run(ctx, hostKey)
	if err == nil && now == old {
		err = fmt.Errorf("the machine should have been installed anew and still has the host key %s", now)
	}
	if err != nil {
		return err
	}
	r.notes = append(r.notes, "ok: installed again, over what ran there")
	return r.stays(ctx, m, registry.Installed, "")
}
