package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// tinkLimit bounds an installation by Tinkerbell, whose start is in it.
const tinkLimit = deployLimit + 5*time.Minute

// tinkPort is where Tink server listens, beside the appliance.
const tinkPort = "42113"

// tinkerbell has Tinkerbell install Debian: its own controller and Tink server at a
// Kubernetes API with roles enforced, and the agent image as the worker. The appliance
// is started anew with it, and may do there what its own manifest says; the agent that
// waits is to find its way there by itself.
func (s scenario) tinkerbell(ctx context.Context, r *rack, m api.Machine) error {
	if _, err := r.offerDebian(ctx); err != nil {
		return err
	}
	begin := time.Now()
	kubeconfig, log, err := r.startKubelab(ctx)
	if err != nil {
		return err
	}
	r.notes = append(r.notes, fmt.Sprintf("Kubernetes and Tinkerbell ready after %s s", seconds(time.Since(begin))))
	r.api.kill()
	if err := r.serve(ctx, "appliance-tinkerbell", []string{"--kubeconfig", kubeconfig, "--engine", "tinkerbell", "--tink-server", applianceAddress + ":" + tinkPort}); err != nil {
		return err
	}
	if err := r.hasTinkerbell(ctx); err != nil {
		return err
	}
	guest, err := r.newGuest(ctx, s.Machine)
	if err != nil {
		return err
	}
	order := time.Now()
	in, err := guest.install(ctx, m)
	if err != nil {
		return errors.Join(err, fmt.Errorf("the log of Tinkerbell ends with:\n%s", lastOf(log)))
	}
	r.notes = append(r.notes, in.stages(order))
	if in.Engine != registry.EngineTinkerbell {
		return fmt.Errorf("it was carried out by %s", in.Engine)
	}
	if after, err := r.api.client.Machine(ctx, m.ID); err != nil || after.State != registry.Installed {
		return fmt.Errorf("%s is %s (%s), want %s: %w", m.Name, after.State, after.Reason, registry.Installed, err)
	}
	return r.workflowSucceeds(ctx, log)
}

// startKubelab runs Kubernetes and Tinkerbell beside the appliance. It returns the
// kubeconfig of the service account that the appliance asks for, and the log.
func (r *rack) startKubelab(ctx context.Context) (kubeconfig, log string, err error) {
	program := filepath.Join(filepath.Dir(r.Dragonfly), "kubelab")
	if !exists(program) {
		return "", "", fmt.Errorf("%s is missing: make kubelab", program)
	}
	dir := filepath.Join(r.dir, "kubernetes")
	roles, err := exec.CommandContext(ctx, r.Dragonfly, "tinkerbell", "rbac").Output()
	if err := errors.Join(err, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(r.dir, "roles.yaml"), roles, 0o600)); err != nil {
		return "", "", err
	}
	var p *process
	if err := r.run(ctx, "kubelab", func(out io.Writer) (_ *process, err error) {
		p, err = start("kubelab", out, inside(r.net.appliance, program, "--dir", dir, "--roles", filepath.Join(r.dir, "roles.yaml"),
			"--tink", applianceAddress+":"+tinkPort)...)
		return p, err
	}); err != nil {
		return "", "", err
	}
	r.undo.add(func() error { p.kill(); return nil }) // it ends slowly, and keeps nothing
	kubeconfig = filepath.Join(dir, "kubeconfig")
	return kubeconfig, filepath.Join(r.dir, "kubelab.log"), poll(ctx, func() bool { return exists(kubeconfig) })
}

// hasTinkerbell waits until the appliance finds everything there that it needs, by the
// role that it asks for.
func (r *rack) hasTinkerbell(ctx context.Context) error {
	var text []byte
	err := poll(ctx, func() bool {
		body, err := r.api.get(ctx, "/metrics")
		if err != nil {
			return false
		}
		defer body.Close()
		text, _ = io.ReadAll(body)
		return bytes.Contains(text, []byte("\ndragonfly_tinkerbell_up 1\n"))
	})
	if err == nil && !bytes.Contains(text, []byte("\ndragonfly_tinkerbell_missing_permissions 0\n")) {
		err = errors.New("the manifest of the role lacks a permission")
	}
	return err
}

// workflowSucceeds waits until the only Workflow has ended well.
func (r *rack) workflowSucceeds(ctx context.Context, log string) error {
	var states []string
	err := poll(ctx, func() bool {
		states = nil
		text, _ := os.ReadFile(log)
		for line := range strings.Lines(string(text)) {
			if name, state, is := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "workflow ")), " is "); is && strings.HasPrefix(line, "workflow ") {
				states = append(states, name+" "+state)
			}
		}
		return len(states) > 0 && strings.HasSuffix(states[len(states)-1], " SUCCESS")
	})
	if err == nil {
		r.notes = append(r.notes, "ok: Workflow "+strings.Join(states, ", "))
	}
	return err
}

// lastOf is the end of a log.
func lastOf(log string) string {
	text, _ := os.ReadFile(log)
	return string(text[max(0, len(text)-4000):])
}
