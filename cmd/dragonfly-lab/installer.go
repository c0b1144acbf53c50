package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// installerLimit bounds what Debian's installer does until it fetches the rest of
// itself.
const installerLimit = 20 * time.Minute

// shippedInstaller is the entry of the catalogue, and installerOS the lab's of it.
const (
	shippedInstaller = "debian-12-installer"
	installerOS      = "lab-installer"
)

// installer has Debian's own installer started on the ready machine, in a network
// without name servers and with a mirror that lacks the rest of the installer: it says
// that it runs, and why it cannot go on, which is before it may write.
func (s scenario) installer(ctx context.Context, r *rack, m api.Machine) error {
	if err := r.offerInstaller(ctx); err != nil {
		return err
	}
	begin := time.Now()
	id, err := r.order(ctx, m, installerOS)
	if err != nil {
		return err
	}
	var d api.Deployment
	if err := pollEvery(ctx, time.Second/4, func() bool {
		d, err = r.api.client.Deployment(ctx, id)
		return err != nil || d.State.Ended() || d.Progress != nil && d.Progress.Stage == "the installer runs"
	}); err != nil {
		return fmt.Errorf("wait until the installer runs: deployment %s is %s: %w", id, d.State, err)
	}
	if err != nil || d.State.Ended() {
		return fmt.Errorf("deployment %s is %s before the installer said that it runs: %s: %w", id, d.State, d.Reason, err)
	}
	runs := time.Now()
	if d, err = r.until(ctx, id, registry.DeploymentFailed); err != nil {
		return err
	}
	r.notes = append(r.notes, fmt.Sprintf("the installer runs after %s s, and has failed %s later", seconds(runs.Sub(begin)), seconds(time.Since(runs))),
		"its reason: "+d.Reason)
	if d.State != registry.DeploymentFailed || !strings.Contains(d.Reason, "package retrieval failed") {
		return fmt.Errorf("it is %s: %s", d.State, d.Reason)
	}
	return s.untouched(ctx, r, m, d)
}

// offerInstaller adds the shipped installer to the catalogue as it is, but for the way
// to a mirror, and where its kernel and initrd are fetched from.
func (r *rack) offerInstaller(ctx context.Context) error {
	files, err := debianInstaller(ctx)
	if err != nil {
		return err
	}
	mirror, err := r.startMirror(ctx, files)
	if err != nil {
		return err
	}
	o, err := r.api.client.OS(ctx, shippedInstaller)
	if err != nil {
		return err
	}
	image := o.Images["amd64"]
	image.Kernel, image.Initrd = mirror+"/installer/linux", mirror+"/installer/initrd.gz"
	// Its log goes where the packets are kept. A busy host delays the emulated timer,
	// which Linux then takes for broken.
	image.CommandLine = "no_timer_check DEBIAN_FRONTEND=text log_host=" + siteAddress
	o.ID, o.Revision, o.Images, o.MinDisk = installerOS, 0, map[string]registry.OSImage{"amd64": image}, 4<<30
	o.Values["mirror_proxy"] = mirror + "/"
	_, err = r.api.client.PutOS(ctx, o)
	return err
}
