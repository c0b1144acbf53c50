package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dragonfly/images/catalogue"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

// tinkLimit bounds an installation by Tinkerbell, whose start is in it.
const tinkLimit = deployLimit + 5*time.Minute

// tinkPort is where Tink server listens, at the address of the appliance.
const tinkPort = "42113"

// tinkerbell has Tinkerbell install Debian by a Template that is in its cluster: its own
// controller and Tink server at a Kubernetes API with roles enforced, and the agent image
// as the worker. The appliance is started anew with it, and may do there what its own
// manifest says; the agent that waits is to find its way there by itself.
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
	if err := r.useClusterTemplate(ctx); err != nil {
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
	if in.Engine != registry.EngineTinkerbell || in.Actions[0].Name != theirAction {
		return fmt.Errorf("it was carried out by %s, and began with %s", in.Engine, in.Actions[0].Name)
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
	objects, err := exec.CommandContext(ctx, r.Dragonfly, "tinkerbell", "rbac").Output()
	if err == nil {
		objects, err = withTemplate(objects)
	}
	if err := errors.Join(err, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(r.dir, "objects.yaml"), objects, 0o600)); err != nil {
		return "", "", err
	}
	var p *process
	if err := r.run(ctx, "kubelab", func(out io.Writer) (_ *process, err error) {
		p, err = start("kubelab", out, inside(r.net.appliance, program, "--dir", dir, "--objects", filepath.Join(r.dir, "objects.yaml"),
			"--tink", applianceAddress+":"+tinkPort)...)
		return p, err
	}); err != nil {
		return "", "", err
	}
	r.undo.add(func() error { p.kill(); return nil }) // it ends slowly, and keeps nothing
	kubeconfig = filepath.Join(dir, "kubeconfig")
	return kubeconfig, filepath.Join(r.dir, "kubelab.log"), poll(ctx, func() bool { return exists(kubeconfig) })
}

// A Template that somebody else made in the cluster, and its first action, by which it is
// told from ours.
const (
	theirTemplate = "debian-of-the-cluster"
	theirAction   = "write the cluster's image"
)

// withTemplate adds that Template to a manifest: it is the shipped one, but for the name
// of that action.
func withTemplate(manifest []byte) ([]byte, error) {
	shipped, err := catalogue.Templates()
	if err != nil {
		return nil, err
	}
	text := strings.Replace(shipped["cloud-image"], "name: write image\n", "name: "+theirAction+"\n", 1)
	object, err := yaml.Marshal(map[string]any{"apiVersion": "tinkerbell.org/v1alpha1", "kind": "Template",
		"metadata": map[string]any{"name": theirTemplate, "namespace": "tinkerbell"}, "spec": map[string]any{"data": text}})
	return slices.Concat(manifest, []byte("\n---\n"), object), err
}

// useClusterTemplate has Debian be installed by it, once the appliance knows it.
func (r *rack) useClusterTemplate(ctx context.Context) error {
	o, err := r.api.client.OS(ctx, labOS)
	if err != nil {
		return err
	}
	o.Template = registry.ClusterTemplate + theirTemplate
	if wait := poll(ctx, func() bool { _, err = r.api.client.PutOS(ctx, o); return err == nil }); wait != nil {
		return fmt.Errorf("use the Template of the cluster: %w", errors.Join(err, wait))
	}
	return nil
}

// hasTinkerbell waits until the appliance finds everything there that it needs, by the
// role that it asks for.
func (r *rack) hasTinkerbell(ctx context.Context) error {
	var text string
	err := poll(ctx, func() bool {
		text, _ = r.api.metrics(ctx)
		return strings.Contains(text, "\ndragonfly_tinkerbell_up 1\n")
	})
	if err == nil && !strings.Contains(text, "\ndragonfly_tinkerbell_missing_permissions 0\n") {
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
