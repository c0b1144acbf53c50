package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// deployBy adds to the change by which a machine registers that a rule has its operating
// system installed: a deployment that is pending, and planned when its turn comes. It is
// in the same transaction, so that a server that is stopped at any moment has neither or
// both.
func (r *Registry) deployBy(ctx context.Context, rule Rule, m Machine, c *Change) (Machine, error) {
	ctx = WithActor(ctx, Actor{Name: fmt.Sprintf("rule %q", rule.Name)})
	req := DeployRequest{Kind: KindInstall, OS: m.OS, Blank: true}
	d := r.newDeployment(ctx, m, req)
	if limit := rule.Set.Concurrency; limit > 0 {
		d.Batch, d.Limit = rule.batch(), limit
	}
	m.Deployment = d.ID
	var err error
	if d.Sealed, err = r.seal(d.ID, Recipe{Request: req}); err != nil {
		return m, err
	}
	audit, err := r.auditDeployment(ctx, DeploymentCreated, d, m)
	if err != nil {
		return m, err
	}
	for i := range c.Put {
		if c.Put[i].ID == m.ID {
			c.Put[i] = m
		}
	}
	c.Deployments = append(c.Deployments, d.Rounded())
	c.Audit = append(c.Audit, audit)
	c.Events = append(c.Events, m.event(DeploymentCreated, r.now(), d.name()+": asked for"+byWhom(ctx)))
	return m, nil
}

// batch is that of all deployments of a rule, whenever their machines register.
func (r Rule) batch() string {
	sum := sha256.Sum256([]byte(r.Name))
	return "r-" + hex.EncodeToString(sum[:6])
}

// when is when a machine is installed by the rule, in words.
func (s RuleSetTo) when() string {
	if s.Concurrency > 0 {
		return "when its turn comes"
	}
	return "at once"
}

// unplanned reports whether it was only asked for: nobody has looked yet at what it
// comes to.
func (d Deployment) unplanned() bool {
	return d.State == DeploymentPending && d.Kind == KindInstall && d.Disk == (DeploymentDisk{}) && len(d.Actions) == 0
}

// planAsked plans a deployment that was only asked for. What keeps it from being carried
// out fails it; one that lacks its image goes on to wait for that.
func (r *Registry) planAsked(ctx context.Context, t *turn) error {
	recipe, err := r.open(t.d)
	if err != nil {
		return err
	}
	m := t.m
	m.Deployment = "" // that is this one
	plan, err := r.planOf(ctx, t.d, m, recipe.Request)
	if err != nil {
		return err
	}
	if err := plan.refusal(); err != nil {
		return r.failUnbegun(t, inWords(err))
	}
	t.d = plan.Deployment
	if t.d.Sealed, err = r.seal(t.d.ID, plan.Recipe); err != nil || t.d.Image == (ImageSource{}) {
		return err
	}
	if t.d.Limits.Fetch > 0 {
		t.d.Deadline = r.now().Add(t.d.Limits.Fetch)
	}
	t.tellState(r, t.d.name()+": its image is fetched first, from "+t.d.Image.URL)
	r.wakeBatches()
	return nil
}

// inWords is an error for those who did not make the request: without its pointers.
func inWords(err error) string {
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok {
		return err.Error()
	}
	var words []string
	for _, f := range invalid.Fields {
		words = append(words, f.Message)
	}
	return strings.Join(words, "; ")
}
