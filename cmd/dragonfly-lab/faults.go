package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// shortVerify is as shortly as the appliance waits for the first boot of what was
// installed.
var shortVerify = []string{"--deploy-verify", "5m"}

// spoil orders what cannot come to a good end, one after another on the same machine,
// and checks that each ends as it should and says why.
func (s scenario) spoil(ctx context.Context, r *rack, machine api.Machine) error {
	debian, err := r.offerDebian(ctx)
	if err != nil {
		return err
	}
	wrongByte := func(ctx context.Context, r *rack, m api.Machine) error { return wrongByte(ctx, r, m, debian) }
	for _, fault := range []struct {
		name string
		play func(context.Context, *rack, api.Machine) error
	}{
		{"a disk that is too small", tooSmall},
		{"an image that is larger than the disk, of an entry that does not say so", s.tooLarge},
		{"cancelled as soon as it is ordered, and after the first write", cancelled},
		{"a wrong byte in the image", wrongByte},
		{"the appliance killed in the middle of the image, and a machine that never comes back", killed},
	} {
		if err := fault.play(ctx, r, machine); err != nil {
			return fmt.Errorf("%s: %w", fault.name, err)
		}
		r.notes = append(r.notes, "ok: "+fault.name)
	}
	return nil
}

// order has the machine's disk written, whatever a run before left on it.
func (r *rack) order(ctx context.Context, m api.Machine, os string) (string, error) {
	reply, err := r.api.client.Deploy(ctx, m.ID, registry.DeployRequest{OS: os, Confirm: m.Hardware.Disks[0].Serial}, false)
	return reply.Deployment.ID, err
}

// tooSmall wants a system that needs more than the machine has.
func tooSmall(ctx context.Context, r *rack, m api.Machine) error {
	if err := r.vary(ctx, "lab-large", func(o *registry.OS) { o.MinDisk = 1 << 40 }); err != nil {
		return err
	}
	id, err := r.order(ctx, m, "lab-large")
	if err == nil {
		return fmt.Errorf("it was accepted as %s", id)
	}
	if !strings.Contains(err.Error(), "disk") {
		return fmt.Errorf("it was refused for something else: %w", err)
	}
	return r.stays(ctx, m, registry.Ready, "")
}

// tooLarge is refused by the agent: nobody said how large a disk has to be. The disk is
// a file without a block until something is written to it.
func (s scenario) tooLarge(ctx context.Context, r *rack, m api.Machine) error {
	file := filepath.Join(r.dir, "large.raw")
	if err := errors.Join(os.WriteFile(file, []byte("no system"), 0o600), os.Truncate(file, s.Machine.Disks[0].Bytes+1<<30)); err != nil {
		return err
	}
	image, err := r.keep(ctx, file)
	if err := errors.Join(err, os.Remove(file)); err != nil {
		return err
	}
	if err := r.vary(ctx, "lab-overfull", func(o *registry.OS) {
		o.MinDisk, o.Images = 0, map[string]registry.OSImage{"amd64": {SHA256: image.Origins[0].SHA256, Format: "raw"}}
	}); err != nil {
		return err
	}
	id, err := r.order(ctx, m, "lab-overfull")
	if err != nil {
		return err
	}
	d, err := r.until(ctx, id, registry.DeploymentFailed)
	if err != nil {
		return err
	}
	r.notes = append(r.notes, "its reason: "+d.Reason)
	if d.State != registry.DeploymentFailed || !strings.Contains(d.Reason, "the image has ") {
		return fmt.Errorf("it is %s: %s", d.State, d.Reason)
	}
	return s.untouched(ctx, r, m, d)
}

// untouched checks that nothing was written to the disk of a machine by what failed.
func (s scenario) untouched(ctx context.Context, r *rack, m api.Machine, d api.Deployment) error {
	var disk unix.Stat_t
	if err := unix.Stat(host{Dir: filepath.Join(r.dir, s.Machine.Name)}.disk(0), &disk); err != nil || d.Wrote || disk.Blocks != 0 {
		return fmt.Errorf("%d blocks of the disk were written to, and the deployment says %v: %w", disk.Blocks, d.Wrote, err)
	}
	return r.stays(ctx, m, registry.Failed, d.Reason)
}

// vary adds to the catalogue what the lab installs, changed.
func (r *rack) vary(ctx context.Context, id string, change func(*registry.OS)) error {
	o, err := r.api.client.OS(ctx, labOS)
	if err != nil {
		return err
	}
	o.ID, o.Revision = id, 0
	change(&o)
	_, err = r.api.client.PutOS(ctx, o)
	return err
}

// cancelled takes an order back as soon as it is made, and in the middle of the image.
func cancelled(ctx context.Context, r *rack, m api.Machine) error {
	was, err := r.api.client.Machine(ctx, m.ID)
	if err != nil {
		return err
	}
	id, err := r.order(ctx, m, labOS)
	if err != nil {
		return err
	}
	early, err := r.api.client.CancelDeployment(ctx, id)
	if err != nil {
		return err
	}
	if early.State != registry.DeploymentCancelled || early.Wrote {
		return fmt.Errorf("cancelled at once it is %s, written %v", early.State, early.Wrote)
	}
	if err := r.stays(ctx, m, was.State, was.Reason); err != nil {
		return err
	}
	if id, err = r.writing(ctx, m, labOS); err != nil {
		return err
	}
	late, err := r.api.client.CancelDeployment(ctx, id)
	if err != nil {
		return err
	}
	if late.State != registry.DeploymentCancelled || !late.Wrote {
		return fmt.Errorf("cancelled in the image it is %s, written %v", late.State, late.Wrote)
	}
	return r.stays(ctx, m, registry.Failed, "")
}

// writing orders an installation and returns in the middle of the image.
func (r *rack) writing(ctx context.Context, m api.Machine, os string) (id string, err error) {
	if id, err = r.order(ctx, m, os); err != nil {
		return "", err
	}
	var d api.Deployment
	errPoll := poll(ctx, func() bool {
		d, err = r.api.client.Deployment(ctx, id)
		return err != nil || d.State.Ended() || d.Wrote && d.Progress != nil && d.Progress.Done > 0
	})
	if err = errors.Join(err, errPoll); err == nil && d.State.Ended() {
		err = fmt.Errorf("it is %s: %s", d.State, d.Reason)
	}
	return id, err
}

// wrongByte damages the image in the appliance's store; the disk must not be called
// good.
func wrongByte(ctx context.Context, r *rack, m api.Machine, image registry.Image) error {
	mend, err := flip(filepath.Join(r.dir, "data", "images", "os", image.Name+".img.zst"))
	if err != nil {
		return err
	}
	id, err := r.order(ctx, m, labOS)
	if err != nil {
		return errors.Join(err, mend())
	}
	d, err := r.until(ctx, id, registry.DeploymentFailed)
	if err := errors.Join(err, mend()); err != nil {
		return err
	}
	if d.State != registry.DeploymentFailed { // a success counts for later than every other state
		return fmt.Errorf("it is %s", d.State)
	}
	r.notes = append(r.notes, "its reason: "+d.Reason)
	return r.stays(ctx, m, registry.Failed, "")
}

// flip changes a byte in the middle of a file, and returns what changes it back.
func flip(path string) (mend func() error, err error) {
	change := func() error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, info.Size()/2); err != nil {
			return err
		}
		b[0] ^= 0x20
		_, err = f.WriteAt(b, info.Size()/2)
		return err
	}
	return change, change()
}

// killed ends the appliance in the middle of the image. Started again it goes on with
// the deployment, which ends by its deadline: what is installed is told nothing, and so
// never phones home.
func killed(ctx context.Context, r *rack, m api.Machine) error {
	if err := r.vary(ctx, "lab-mute", func(o *registry.OS) { o.Template = "plain-image" }); err != nil {
		return err
	}
	id, err := r.writing(ctx, m, "lab-mute")
	if err != nil {
		return err
	}
	r.api.kill()
	if err := r.serve(ctx, "appliance-again", shortVerify); err != nil {
		return err
	}
	if _, err := r.until(ctx, id, registry.DeploymentVerifying); err != nil {
		return err
	}
	d, err := r.until(ctx, id, registry.DeploymentTimedOut)
	if err != nil {
		return err
	}
	r.notes = append(r.notes, "its reason: "+d.Reason)
	return r.stays(ctx, m, registry.Failed, d.Reason)
}

// stays checks a machine's state, and the reason where one is given.
func (r *rack) stays(ctx context.Context, m api.Machine, state registry.State, reason string) error {
	now, err := r.api.client.Machine(ctx, m.ID)
	if err == nil && (now.State != state || state == registry.Failed && now.Reason == "" || reason != "" && !strings.Contains(now.Reason, reason)) {
		err = fmt.Errorf("%s is %s (%q), want %s (%q)", now.Name, now.State, now.Reason, state, reason)
	}
	return err
}
