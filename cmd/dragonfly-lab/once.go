package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// onceLimit bounds all one-shot boots of a machine together.
const onceLimit = 10 * time.Minute

// onceScript says something that nothing else says, and ends.
const onceScript = "#!ipxe\necho once-by-${platform}\n"

// brokenScript has a line that fails.
const brokenScript = "#!ipxe\necho broken-by-${platform}\nimgfetch http://" + applianceAddress + ":1/nothing\n"

// once lets itself into the ready machine, has it run a script, and one that fails, and
// boots it from an ISO, from one that is not there, and into memtest86+. After each but the last the machine comes back as it was: its disk is
// blank, so that it starts the agent.
func (s scenario) once(ctx context.Context, r *rack, m api.Machine) error {
	if err := s.rescue(ctx, r, m); err != nil {
		return fmt.Errorf("rescue: %w", err)
	}
	if err := s.back(ctx, r, 2); err != nil {
		return fmt.Errorf("after the rescue: %w", err)
	}
	script := registry.DeployRequest{Kind: registry.KindScript, Script: onceScript}
	if err := s.shown(ctx, r, m, script, shown{"once-by-", registry.DeploymentSucceeded}); err != nil {
		return fmt.Errorf("script: %w", err)
	}
	if err := s.back(ctx, r, 3); err != nil {
		return fmt.Errorf("after the script: %w", err)
	}
	script.Script = brokenScript
	if err := s.shown(ctx, r, m, script, shown{"broken-by-", registry.DeploymentFailed}); err != nil {
		return fmt.Errorf("script that fails: %w", err)
	}
	if err := s.back(ctx, r, 4); err != nil {
		return fmt.Errorf("after the script that fails: %w", err)
	}
	disc, err := r.offerISO(ctx)
	if err != nil {
		return err
	}
	if err := s.shown(ctx, r, m, registry.DeployRequest{Kind: registry.KindISO, ISO: disc}, shown{isoText, registry.DeploymentSucceeded}); err != nil {
		return fmt.Errorf("iso: %w", err)
	}
	if err := s.back(ctx, r, 5); err != nil {
		return fmt.Errorf("after the ISO: %w", err)
	}
	if err := s.shown(ctx, r, m, registry.DeployRequest{Kind: registry.KindISO, ISO: disc + ".gone"}, shown{"it did not start", registry.DeploymentFailed}); err != nil {
		return fmt.Errorf("iso that is not there: %w", err)
	}
	if err := s.back(ctx, r, 6); err != nil {
		return fmt.Errorf("after the ISO that is not there: %w", err)
	}
	if err := s.shown(ctx, r, m, registry.DeployRequest{Kind: registry.KindMemtest}, shown{"Memtest86", registry.DeploymentRunning}); err != nil {
		return fmt.Errorf("memtest: %w", err)
	}
	after, err := r.api.client.Machine(ctx, m.ID)
	if err == nil && (after.BootNext != registry.BootDisk || after.State != registry.Ready) {
		err = fmt.Errorf("after memtest: %s is %s and boots %q next", m.Name, after.State, after.BootNext)
	}
	return err
}

// rescue signs in to the agent with a key, and restarts the machine from there.
func (s scenario) rescue(ctx context.Context, r *rack, m api.Machine) error {
	g, err := r.newGuest(ctx, s.Machine)
	if err != nil {
		return err
	}
	g.user = "root"
	began := time.Now()
	reply, err := r.api.client.Deploy(ctx, m.ID, registry.DeployRequest{Kind: registry.KindRescue, Seed: registry.Seed{SSHKeys: []string{g.public}}}, false)
	if err != nil {
		return err
	}
	if _, err := g.login(ctx, ""); err != nil {
		return err
	}
	r.notes = append(r.notes, fmt.Sprintf("rescue: signed in after %s s", seconds(time.Since(began))))
	if out, err := g.run(ctx, "busybox | head -n 1; id -u; ls /dev/vda"); err != nil || !strings.Contains(out, "BusyBox") || !strings.Contains(out, "/dev/vda") {
		return fmt.Errorf("the shell says %q: %w", out, err)
	}
	if _, err := g.run(ctx, "(sleep 1; reboot -f) >/dev/null 2>&1 &"); err != nil {
		return err
	}
	_, err = r.until(ctx, reply.Deployment.ID, registry.DeploymentSucceeded)
	return err
}

// shown is what comes of a boot: a text on the screen, and how the deployment stands then.
type shown struct {
	text  string
	state registry.DeploymentState
}

// shown orders a boot and waits until the machine shows what comes of it.
func (s scenario) shown(ctx context.Context, r *rack, m api.Machine, req registry.DeployRequest, want shown) error {
	began := time.Now()
	reply, err := r.api.client.Deploy(ctx, m.ID, req, false)
	if err != nil {
		return err
	}
	if err := pollEvery(ctx, time.Second/4, func() bool { return r.screens[s.Machine.Name].shows(want.text) }); err != nil {
		return errors.Join(fmt.Errorf("%q does not show on the serial console", want.text), err)
	}
	r.notes = append(r.notes, fmt.Sprintf("%s: shows after %s s", req.Kind, seconds(time.Since(began))))
	_, err = r.until(ctx, reply.Deployment.ID, want.state)
	return err
}

// back waits until the machine has registered n times.
func (s scenario) back(ctx context.Context, r *rack, n int) error {
	_, err := r.timeline.await(ctx, s.Machine.MAC, func(events []api.Event) bool { return registrations(events) >= n })
	return err
}
