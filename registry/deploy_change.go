package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// turn is a deployment and its machine as they were loaded, and what becomes of them.
type turn struct {
	d      Deployment
	m      Machine
	events []Event
	lines  []DeploymentLine
	audit  []AuditEntry
}

// say adds an event to the machine's timeline.
func (t *turn) say(e Event) { t.events = append(t.events, e) }

// tellState adds the event that the deployment has come to its state.
func (t *turn) tellState(r *Registry, text string) {
	t.say(t.m.event(t.d.State.kind(), r.now(), text))
}

// name is how a deployment is spoken of: what is done to what.
func (d Deployment) name() string {
	switch d.Kind {
	case KindInstall, "":
		return "deployment of " + d.OS
	case KindISO:
		return "boot of an ISO"
	case KindScript:
		return "boot of an iPXE script"
	}
	return string(d.Kind)
}

// turn loads a deployment and its machine, has do change them, and writes both in one
// change; where a race was lost, from the load. Nothing is written where do changes
// nothing and says nothing. What is returned is as it is stored.
func (r *Registry) turn(ctx context.Context, id string, do func(*turn) error) (Deployment, Machine, error) {
	for range attempts {
		d, err := r.loadDeployment(ctx, id)
		if err != nil {
			return Deployment{}, Machine{}, err
		}
		m, err := r.Machine(ctx, d.Machine)
		if err != nil {
			return Deployment{}, Machine{}, err
		}
		t := &turn{d: d, m: m}
		if err := do(t); err != nil {
			return d, m, err
		}
		err = r.finishTurn(ctx, d, t)
		if _, lost := errors.AsType[*ConflictError](err); lost {
			continue
		}
		return t.d, t.m, err
	}
	return Deployment{}, Machine{}, &ConflictError{Object: "deployment " + id}
}

// finishTurn writes what became of a deployment, and of its machine where that
// follows from it.
func (r *Registry) finishTurn(ctx context.Context, before Deployment, t *turn) (err error) {
	if len(t.events)+len(t.lines)+len(t.audit) == 0 {
		return nil
	}
	t.d = t.d.Rounded()
	c := Change{Op: OpOf(ctx), Events: t.events, Lines: t.lines, Audit: t.audit}
	changed := len(t.events) > 0
	if changed {
		c.Deployments = []Deployment{t.d}
	}
	moved := t.d.State != before.State && !(before.State == DeploymentPending && t.d.State.Ended())
	if moved {
		if t.m, err = t.m.with(t.d); err != nil {
			return fmt.Errorf("%s on %s: %w", t.d.name(), t.m.Name, err)
		}
		c.Put = []Machine{t.m}
	}
	if err := r.commit(ctx, c); err != nil {
		return err
	}
	if changed {
		t.d.Version++
	}
	if moved {
		t.m.Version++
	}
	if t.d.State != before.State {
		r.log.Info("deployment", "deployment", t.d.ID, "machine", t.m.Name, "state", t.d.State, "reason", t.d.Reason)
		r.tracks.forget(t.d.ID, t.d.State)
	}
	if t.d.State.Ended() && !before.State.Ended() {
		r.tools.ended(t.d)
		if t.d.Batch != "" || t.d.Image != (ImageSource{}) {
			r.wakeBatches()
		}
	}
	return nil
}

// loadDeployment is a deployment as it is stored; [ErrNotFound] when there is none.
func (r *Registry) loadDeployment(ctx context.Context, id string) (Deployment, error) {
	found, err := r.store.Deployments(ctx, DeploymentQuery{IDs: []string{id}})
	if r.heard(ctx, err) != nil {
		return Deployment{}, err
	}
	if len(found) == 0 {
		return Deployment{}, fmt.Errorf("deployment %.80q: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// auditDeployment is the entry for what somebody did about a deployment.
func (r *Registry) auditDeployment(ctx context.Context, action Kind, d Deployment, m Machine) (AuditEntry, error) {
	text, err := json.Marshal(map[string]any{"deployment": d.ID, "name": m.Name, "kind": d.Kind, "os": d.OS, "disk": d.Disk, "state": d.State})
	return AuditEntry{At: r.now(), Actor: ActorOf(ctx), Action: string(action), Object: m.ID, After: text}, err
}
