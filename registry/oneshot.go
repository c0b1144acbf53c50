package registry

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A one-shot boot is a deployment that puts nothing on a disk: the machine boots
// something once, and as usual after that. Its state, and what is assigned
// to it, stay as they are. The agent carries a rescue out; everything else is the
// script that iPXE is given, once.
//
// What iPXE could not start, its script tells, with the key that it was given. What
// it has started tells nothing. So such a boot runs until iPXE says that it failed, or
// the machine asks for a boot script again, or something else is asked for it, or nothing
// was told for [bootWatch]; and with nothing said it has succeeded, as far as anybody
// knows here.

// OneShot reports whether such a deployment is a boot of something, and no work on a
// disk.
func (k DeploymentKind) OneShot() bool { return k == KindRescue || k.ByScript() }

// ByScript reports whether iPXE carries it out, without the agent.
func (k DeploymentKind) ByScript() bool {
	return slices.Contains([]DeploymentKind{KindMemtest, KindISO, KindScript}, k)
}

// rescueTemplate is the name of the shipped template that lets an operator in.
const rescueTemplate = "rescue"

// bootWatch is how long iPXE may take to say that a boot failed: it tries five times, and
// each may wait for a server that does not answer.
const bootWatch = 10 * time.Minute

// maxScript is the size of an operator's own script, in bytes.
const maxScript = 32 << 10

// validateOneShot reports what is wrong with the parts that one-shot boots have, or
// must not have.
func (req DeployRequest) validateOneShot(v *validator) {
	if req.ISO != "" && req.Kind != KindISO {
		v.add("/iso", "only for the kind iso")
	}
	if req.Script != "" && req.Kind != KindScript {
		v.add("/script", "only for the kind script")
	}
	if !req.Kind.OneShot() {
		return
	}
	if req.OS != "" {
		v.add("/os", "a one-shot boot installs no operating system")
	}
	if req.Disk != "" || req.Confirm != "" || len(req.Erase) > 0 {
		v.add("/disk", "a one-shot boot writes no disk")
	}
	switch req.Kind {
	case KindRescue:
		if len(req.Seed.SSHKeys) == 0 {
			v.add("/seed/ssh_keys", "it is missing: without a key nobody can sign in")
		}
	case KindISO:
		if why := wrongISO(req.ISO); why != "" {
			v.add("/iso", why)
		}
	case KindScript:
		if why := wrongScript(req.Script); why != "" {
			v.add("/script", why)
		}
	}
}

// isoRunes are those of an address that pass through a line of an iPXE script as they
// are.
const isoRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]=+"

func wrongISO(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil {
		return "want the address of an ISO, such as http://10.0.0.2/tool.iso; iPXE has no certificates for https"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(isoRunes, r) }) {
		return "an address for iPXE has only letters, digits and -._~:/[]=+"
	}
	return ""
}

func wrongScript(text string) string {
	switch first, _, _ := strings.Cut(text, "\n"); {
	case len(text) > maxScript:
		return fmt.Sprintf("%d bytes; at most %d", len(text), maxScript)
	case strings.TrimRight(first, " \r") != "#!ipxe":
		return "the first line of an iPXE script is #!ipxe"
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "it is no text"
	}
	return ""
}

// planBoot is what a one-shot boot comes to.
func (r *Registry) planBoot(ctx context.Context, p *DeployPlan) {
	if p.Deployment.Kind == KindRescue {
		r.render(ctx, p, OS{Template: rescueTemplate, FirstBoot: FirstBootCloudInit})
		return
	}
	if p.Deployment.Kind == KindMemtest && !slices.Contains([]string{"", "amd64"}, p.Machine.Hardware.CPU.Arch) {
		p.problem("/kind", "memtest86+ is for amd64, and the machine is %s", p.Machine.Hardware.CPU.Arch)
	}
	if p.Deployment.Kind == KindISO {
		p.Notes = append(p.Notes, "the firmware reads the ISO over the network, and only while it runs: systems that need the disc after that, such as most installers, stop there")
	}
}

// mayBoot is why m may not be sent to something else; nil where it may.
func (m Machine) mayBoot() error {
	if m.State == Retired {
		return &RefusalError{fmt.Sprintf("it is retired; `dragonfly machine restore %s` brings it back", m.Name)}
	}
	return nil
}

// withBoot is m as a one-shot boot leaves it.
func (m Machine) withBoot(d Deployment) Machine {
	switch {
	case d.State == DeploymentWaiting && d.Kind.ByScript():
		m.BootNext = BootOnce
	case d.State == DeploymentWaiting:
		m.BootNext = BootAgent
	case d.State == DeploymentRunning:
		m.BootNext = BootDisk // however the machine restarts
	}
	return m
}

// BootOrder is what a machine boots once.
type BootOrder struct {
	Kind   DeploymentKind
	ISO    string // URL
	Script string // the operator's own
	Key    string // by which iPXE speaks of it once it was taken; empty before
}

// PeekBoot is what a machine would boot once. It errs with [ErrNotFound] where there
// is nothing, or [ErrUnavailable].
func (r *Registry) PeekBoot(ctx context.Context, machine string) (BootOrder, error) {
	_, order, err := r.bootOrder(ctx, machine)
	return order, err
}

// TakeBoot hands a machine what it boots once: nobody is given it again. It errs as
// [Registry.PeekBoot] does.
func (r *Registry) TakeBoot(ctx context.Context, machine string) (BootOrder, error) {
	if err := r.writable(); err != nil {
		return BootOrder{}, err
	}
	d, order, err := r.bootOrder(ctx, machine)
	if err != nil {
		return BootOrder{}, err
	}
	taken := false
	_, _, err = r.turn(ctx, d.ID, func(t *turn) (err error) {
		if taken = t.d.State == DeploymentWaiting; !taken {
			return nil
		}
		t.d, err = t.d.handedOut(rand.Text(), r.now())
		t.say(t.m.event(DeploymentClaimed, r.now(), t.d.name()+": handed to the machine; after it the machine boots as usual"))
		order.Key = t.d.Boot
		return err
	})
	if err == nil && !taken {
		err = fmt.Errorf("boot order of %s: %w", machine, ErrNotFound)
	}
	return order, err
}

// handedOut is d after iPXE was given it.
func (d Deployment) handedOut(key string, now time.Time) (Deployment, error) {
	d.Limits.Run = bootWatch
	d, err := d.step(DeployClaim, now)
	return d.begun(AgentBoot{Token: key}, now), err
}

// HandedOut reports whether iPXE has d, and may yet say that it failed.
func (d Deployment) HandedOut() bool { return d.Kind.ByScript() && d.State == DeploymentRunning }

// heldBy reports whether iPXE has d, and key is the one that it was given with it.
func (d Deployment) heldBy(key string) bool {
	return d.HandedOut() && key != "" && subtle.ConstantTimeCompare([]byte(d.Boot), []byte(key)) == 1
}

// TakenBoot is what a machine was given by [Registry.TakeBoot], while it may yet fail. It
// errs with [ErrNotFound] where the key is not of that, or [ErrUnavailable].
func (r *Registry) TakenBoot(ctx context.Context, machine, key string) (BootOrder, error) {
	m, err := r.Machine(ctx, machine)
	if err != nil {
		return BootOrder{}, err
	}
	d, err := r.loadDeployment(ctx, m.Deployment)
	if err == nil && !d.heldBy(key) {
		err = fmt.Errorf("boot order of %s: %w", m.Name, ErrNotFound)
	}
	if err != nil {
		return BootOrder{}, err
	}
	order, err := r.orderOf(d)
	order.Key = key
	return order, err
}

// FailBoot takes the word of iPXE that what the machine was given did not start. With a
// key that is not of what it has now, such as one of an earlier boot, nothing changes. It
// errs with [ErrUnavailable] where that cannot be written.
func (r *Registry) FailBoot(ctx context.Context, machine, key string) error {
	if err := r.writable(); err != nil {
		return err
	}
	m, err := r.Machine(ctx, machine)
	if errors.Is(err, ErrNotFound) || err == nil && m.Deployment == "" {
		return nil
	}
	if err != nil {
		return err
	}
	_, _, err = r.turn(ctx, m.Deployment, func(t *turn) (err error) {
		if !t.d.heldBy(key) {
			return nil
		}
		t.d, err = t.d.failed(t.d.Kind.unstarted()+"; "+t.d.diskNow(), r.now())
		t.tellState(r, t.d.name()+" failed: "+t.d.Reason)
		return err
	})
	return err
}

// overtake ends what iPXE was given, since something else is asked for: who asks knows of
// the machine what is not told here.
func (r *Registry) overtake(ctx context.Context, id string) error {
	_, _, err := r.turn(ctx, id, func(t *turn) (err error) {
		if !t.d.HandedOut() {
			return nil
		}
		t.d, err = t.d.step(DeployEnd, r.now())
		t.tellState(r, t.d.name()+" ended: iPXE told of no failure until something else was asked for")
		return err
	})
	return err
}

// unstarted is why a boot failed that iPXE says did not start, and what to look at.
func (k DeploymentKind) unstarted() string {
	switch k {
	case KindMemtest:
		return "iPXE could not start memtest86+, or it gave the machine back: look at the machine's screen; its firmware may refuse what is not signed (Secure Boot)"
	case KindISO:
		return "iPXE could not start the ISO, or it gave the machine back: see that the machine, and not only this server, reaches its address by HTTP, that the file is there, and that it boots on the machine's firmware (BIOS or UEFI); the machine's screen has iPXE's error"
	}
	return "a command of the script failed, or the machine could not fetch the script: its screen has iPXE's error; a command that may fail goes on with || and another one"
}

// bootOrder is the one-shot boot that waits for a machine.
func (r *Registry) bootOrder(ctx context.Context, machine string) (Deployment, BootOrder, error) {
	m, err := r.Machine(ctx, machine)
	if err != nil {
		return Deployment{}, BootOrder{}, err
	}
	if m.BootNext != BootOnce {
		return Deployment{}, BootOrder{}, fmt.Errorf("boot order of %s: %w", m.Name, ErrNotFound)
	}
	if err := m.unlocked(); err != nil {
		return Deployment{}, BootOrder{}, err
	}
	d, err := r.loadDeployment(ctx, m.Deployment)
	if err != nil {
		return d, BootOrder{}, err
	}
	order, err := r.orderOf(d)
	return d, order, err
}

func (r *Registry) orderOf(d Deployment) (BootOrder, error) {
	recipe, err := r.open(d)
	return BootOrder{Kind: d.Kind, ISO: recipe.Request.ISO, Script: recipe.Request.Script}, err
}

// left ends a one-shot boot whose machine has asked for a boot script again.
func (r *Registry) left(ctx context.Context, e Event) error {
	m, err := r.Machine(ctx, e.Machine)
	if errors.Is(err, ErrNotFound) || err == nil && m.Deployment == "" {
		return nil
	}
	if err != nil {
		return err
	}
	_, _, err = r.turn(ctx, m.Deployment, func(t *turn) (err error) {
		if !t.d.Kind.OneShot() || t.d.State != DeploymentRunning || !e.At.After(t.d.StateAt) {
			return nil
		}
		t.d, err = t.d.step(DeployEnd, r.now())
		t.tellState(r, t.d.name()+" ended: the machine boots as usual again")
		return err
	})
	return err
}
