package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Engine is what carries a deployment out.
type Engine string

// The engines.
const (
	EngineBuiltin    Engine = "builtin"    // the agent by itself
	EngineTinkerbell Engine = "tinkerbell" // Tinkerbell, in Kubernetes
)

// Engines lists them.
func Engines() []Engine { return []Engine{EngineBuiltin, EngineTinkerbell} }

// ParseEngine is the engine that a text names.
func ParseEngine(text string) (Engine, error) {
	if e := Engine(text); slices.Contains(Engines(), e) {
		return e, nil
	}
	return "", fmt.Errorf("engine %q: want builtin or tinkerbell", text)
}

// engine has the deployment carried out by what was asked for, else by what its
// operating system says, else by that of this installation. A wipe and an installer are
// for our own agent where nothing is asked for: Tinkerbell's have no such action.
func (r *Registry) engine(p *DeployPlan, o OS) {
	d, usual := &p.Deployment, cmp.Or(o.Engine, r.tools.Engine)
	if d.Kind == KindWipe || o.Images[p.Machine.Hardware.CPU.Arch].Kernel != "" {
		usual = EngineBuiltin
	}
	d.Engine, d.OSIE = cmp.Or(p.Recipe.Request.Engine, usual, EngineBuiltin), o.OSIE
	if d.Engine != EngineBuiltin && !slices.Contains(r.tools.Engines, d.Engine) {
		p.problem("/engine", "%s is not set up here: start with --kubeconfig, see tinkerbell/README.md", d.Engine)
	}
}

// boots is what a machine boots for the deployment.
func (d Deployment) boots() BootTarget {
	if d.Engine == EngineTinkerbell {
		return d.OSIE.boots()
	}
	return BootAgent
}

// TakeUp claims a deployment for what carries it out, where that is not an agent of ours: as
// [Registry.ClaimByAgent], and boot is what that calls this run.
func (r *Registry) TakeUp(ctx context.Context, machine, boot string) (Deployment, error) {
	d, _, err := r.claim(ctx, machine, func(t *turn) (AgentBoot, error) { return AgentBoot{ID: boot}, t.d.isOf(EngineTinkerbell) })
	return d, err
}

// isOf errs with a [*RefusalError] where another engine carries the deployment out.
func (d Deployment) isOf(e Engine) error {
	if cmp.Or(d.Engine, EngineBuiltin) == e {
		return nil
	}
	return &RefusalError{fmt.Sprintf("deployment %s is carried out by %s", d.ID, d.Engine)}
}

// Hold says what a deployment waits for that has not begun, for people; empty: for its
// machine alone. Nothing is written where it says so already, or where it has begun.
func (r *Registry) Hold(ctx context.Context, id, why string) error {
	why = plainText(why, maxMessage)
	_, _, err := r.turn(ctx, id, func(t *turn) error {
		if t.d.State != DeploymentWaiting || t.d.Reason == why {
			return nil
		}
		t.d.Reason = why
		t.say(t.m.event(DeploymentHeld, r.now(), t.d.name()+": "+cmp.Or(why, "waiting for the machine")))
		return nil
	})
	return err
}

// Fail ends a deployment that cannot be carried out. One that has ended stays as it is.
func (r *Registry) Fail(ctx context.Context, id, reason string) error {
	_, _, err := r.turn(ctx, id, func(t *turn) (err error) {
		if t.d.State.Ended() {
			return nil
		}
		t.d, err = t.d.failed(plainText(reason, maxMessage)+"; "+t.d.diskNow(), r.now())
		t.tellState(r, t.d.name()+" failed: "+t.d.Reason)
		return err
	})
	return err
}
