package main

import (
	"context"
	"fmt"
	"strings"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// servesTink has the appliance answer in the place of Tink server.
var servesTink = []string{"--tink-listen", ":" + tinkPort}

// workerScript boots the agent image as somebody boots HookOS by habit: what it is told
// is where Tink server is, and nothing of Dragonfly.
func workerScript(base string, mac registry.MAC) string {
	return fmt.Sprintf("#!ipxe\nkernel %[1]s/boot/amd64/vmlinuz initrd=initramfs.zst grpc_authority=%[2]s:%[3]s worker_id=%[4]s hw_addr=%[4]s "+
		"console=tty0 console=ttyS0,115200 loglevel=4 panic=60 no_timer_check\ninitrd %[1]s/boot/amd64/initramfs.zst\nboot\n",
		base, applianceAddress, tinkPort, mac)
}

// worker has the ready machine boot as a worker of Tinkerbell's, and deploys to that: it
// registers no more, so that all it is told comes by Tink server's protocol.
func (s scenario) worker(ctx context.Context, r *rack, m api.Machine) error {
	script := workerScript(r.api.client.Base, s.Machine.MAC)
	if err := s.shown(ctx, r, m, registry.DeployRequest{Kind: registry.KindScript, Script: script}, shown{"of Tinkerbell at " + applianceAddress, registry.DeploymentRunning}); err != nil {
		return fmt.Errorf("boot as a worker: %w", err)
	}
	if err := s.deploy(ctx, r, m); err != nil {
		return err
	}
	return r.handedOut(ctx, m)
}

// handedOut checks that every action of the latest installation was asked for, by Tink
// server's protocol.
func (r *rack) handedOut(ctx context.Context, m api.Machine) error {
	all, err := r.api.client.AllDeployments(ctx, api.DeploymentSelection{Machine: m.ID, OS: labOS}, 1)
	if err != nil || len(all) == 0 {
		return fmt.Errorf("%d installations of %s are listed: %w", len(all), m.Name, err)
	}
	text, err := r.api.metrics(ctx)
	want := fmt.Sprintf(`dragonfly_tink_calls_total{code="ok",method="GetAction"} %d`, len(all[0].Actions))
	if err == nil && !strings.Contains(text, "\n"+want+"\n") {
		err = fmt.Errorf("the metrics lack %q:\n%s", want, text)
	}
	r.notes = append(r.notes, fmt.Sprintf("ok: %d actions were handed out one by one", len(all[0].Actions)))
	return err
}
