package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Tools is what deployments need of the other rooms of the house.
type Tools struct {
	Catalogue []OS              // that comes with this version
	Templates map[string]string // the same, by name
	Sealer    Sealer
	Engines   []Engine     // that there are beside builtin
	Engine    Engine       // where nothing else is said; empty: builtin
	Limits    DeployLimits // Run counts for nothing: that follows from the template

	// ClusterTemplate is the text of a Template that is in Tinkerbell's cluster. Its error
	// is an [*InvalidError] where there is none of that name, and a [*RefusalError] where
	// nobody knows. Nil: Tinkerbell is not set up.
	ClusterTemplate func(name string) (text string, err error)
	// Render makes of a template what is carried out on a machine. What is wrong
	// with it is an [*InvalidError] whose pointers are those of a [DeployRequest]; what
	// it gave is returned as far as it came.
	Render func(text string, m Machine, params map[string]string) (Rendered, error)
	// CheckActions reports as Render does what keeps a deployment from being carried out
	// by its engine, in its OSIE. Nil: nothing is looked at.
	CheckActions func(d Deployment, actions []RecipeAction) error
	// Image is the path on this server of an image that is in its store, in the
	// format of images/frame. Nil: there is no store, and machines fetch images
	// from where they come from.
	Image func(source ImageSource) (path string, ok bool)
	// Fetch begins to bring an image into that store, or finds the work that goes on.
	// Ended work is begun anew. Not nil where Image is not.
	Fetch func(ctx context.Context, source ImageSource) (ImageJob, error)
	// Fetching is the work on an image that goes on, or has ended lately; not ok: there
	// is none. Not nil where Image is not.
	Fetching func(source ImageSource) (job ImageJob, ok bool)
	// Seed makes the parameters of a template that has the installed system find its
	// seed. What is wrong is an [*InvalidError] whose pointers are those of a [Seed]. Nil:
	// none.
	Seed func(ctx context.Context, r SeedRequest) (Seeded, error)
	// CheckSeed reports everything that is wrong with a seed by itself, as Seed does. Nil:
	// nothing is looked at.
	CheckSeed func(s Seed) error
	// CheckDefaults is the same for what deployments begin from, with its user data, which
	// is cloud-init's.
	CheckDefaults func(s Seed) error
	// Unwanted is told that no deployment waits any more for an image that was fetched
	// for one. Not nil where Image is not.
	Unwanted func(ctx context.Context, source ImageSource) error
	// Server is the URL by which a machine reaches this server, without a slash at
	// its end.
	Server func(m Machine) (string, error)
	// Card is the hardware address of the card that has an IP address on one of our
	// links now; zero where a router is in between. Nil: nobody knows.
	Card func(netip.Addr) MAC
	// Shared says that other servers hear machines too, and write that to the same store.
	Shared bool
	// Ended is told of every deployment that this process has seen end. May be nil.
	Ended func(d Deployment)
}

// SeedRequest is what the seed of a deployment is made of.
type SeedRequest struct {
	Defaults   Seed // what every deployment begins from
	Deployment Deployment
	Machine    Machine
	OS         OS
	Seed       Seed   // what was asked for, beside what is that of the operating system
	Server     string // URL by which the machine reaches this server
}

// Seeded is what a seed comes to.
type Seeded struct {
	Parameters map[string]string // of the template
	Notes      []string          // worth knowing
}

// Rendered is what a template gave for a machine.
type Rendered struct {
	Text    string
	Actions []RecipeAction
	Timeout time.Duration // for all of them together; 0: the template does not say
	Notes   []string      // worth knowing
}

// Equip gives the registry what deployments need. It has to be called before
// [Registry.Run].
func (r *Registry) Equip(t Tools) { r.tools = t }

func (t Tools) ended(d Deployment) {
	if t.Ended != nil {
		t.Ended(d)
	}
}

// ClusterTemplate is what the name of a template begins with that is in Tinkerbell's
// cluster, and its name there follows.
const ClusterTemplate = "tinkerbell:"

// template is the text of a template that is named, or that is one.
func (t Tools) template(nameOrText string) (text string, err error) {
	if strings.Contains(nameOrText, "\n") {
		return nameOrText, nil
	}
	if name, is := strings.CutPrefix(nameOrText, ClusterTemplate); is {
		if t.ClusterTemplate == nil {
			return "", &RefusalError{"Tinkerbell is not set up here: start with --kubeconfig, see tinkerbell/README.md"}
		}
		return t.ClusterTemplate(name)
	}
	text, ok := t.Templates[nameOrText]
	if !ok {
		err = &InvalidError{Fields: []FieldError{{"/template", fmt.Sprintf("there is no template %.40q; there are %s, or give the text of one", nameOrText, join(slices.Sorted(maps.Keys(t.Templates))))}}}
	}
	return text, err
}

// Batch is deployments that were asked for together. The zero value is one alone.
type Batch struct {
	ID    string // "b-" and 12 characters
	Limit int    // how many are under way at once; 0: all
}

// NewBatch is a batch of which limit are under way at once; 0: all.
func NewBatch(limit int) Batch { return Batch{"b-" + strings.ToLower(rand.Text())[:12], limit} }

// Deploy has something put on a machine's disk: at once where the machine's agent
// waits, and else when the machine boots from the network. With [WithDryRun] nothing
// is changed, and the plan says what would be done, with its problems.
//
// It errs with [*InvalidError] (also where the disk holds what nobody has confirmed
// may be lost), [*LockedError], [*TransitionError], [*RefusalError] where a deployment
// is under way on the machine, [ErrNotFound] or [ErrUnavailable].
func (r *Registry) Deploy(ctx context.Context, id string, req DeployRequest, batch Batch) (DeployPlan, error) {
	if err := r.writable(); err != nil {
		return DeployPlan{}, err
	}
	if AppliedBefore(ctx) {
		return r.deployedBefore(ctx, id)
	}
	for range attempts {
		m, err := r.Machine(ctx, id)
		if err != nil {
			return DeployPlan{}, err
		}
		plan, err := r.plan(ctx, m, req)
		if err != nil || dryRun(ctx) {
			return plan, err
		}
		if err := plan.refusal(); err != nil {
			return plan, fmt.Errorf("%s on %s: %w", plan.Deployment.name(), m.Name, err)
		}
		if plan.last.HandedOut() {
			// A change of its own: with the operation of the request, the deployment that
			// follows would count as written.
			if err := r.overtake(OncePart(ctx, "overtake"), plan.last.ID); err != nil {
				return plan, err
			}
			continue
		}
		plan, err = r.create(ctx, plan, batch)
		if _, lost := errors.AsType[*ConflictError](err); !lost {
			return plan, err
		}
	}
	return DeployPlan{}, &ConflictError{Object: "machine " + id}
}

// deployedBefore is what an earlier attempt at the same request came to.
func (r *Registry) deployedBefore(ctx context.Context, id string) (DeployPlan, error) {
	m, err := r.Machine(ctx, id)
	if err != nil {
		return DeployPlan{}, err
	}
	d, err := r.Deployment(ctx, m.Deployment)
	return DeployPlan{Deployment: d, Machine: m}, err
}

// create writes a planned deployment. One of a batch with a limit waits for its turn.
func (r *Registry) create(ctx context.Context, plan DeployPlan, batch Batch) (DeployPlan, error) {
	d, m, err := plan.Deployment, plan.Machine, error(nil)
	d.Batch, d.Limit = batch.ID, batch.Limit
	text := d.name() + ": asked for"
	if d.Disk != (DeploymentDisk{}) {
		text += " on " + d.Disk.title()
	}
	waits := batch.Limit > 0 || d.Image != (ImageSource{})
	if d.Image != (ImageSource{}) && d.Limits.Fetch > 0 {
		d.Deadline = r.now().Add(d.Limits.Fetch)
	}
	if !waits {
		if d, err = d.step(DeployStart, r.now()); err == nil {
			m, err = m.with(d)
		}
		text += "; waiting for the machine"
	} else if m.Deployment = d.ID; d.Image != (ImageSource{}) {
		text += "; its image is fetched first, from " + d.Image.URL
	} else {
		text += "; waiting for its turn"
	}
	if err != nil {
		return plan, fmt.Errorf("%s on %s: %w", d.name(), m.Name, err)
	}
	if d.Sealed, err = r.seal(d.ID, plan.Recipe); err != nil {
		return plan, err
	}
	if d = d.Rounded(); !waits {
		m.Deadline = d.Deadline
	}
	audit, err := r.auditDeployment(ctx, DeploymentCreated, d, m)
	if err != nil {
		return plan, err
	}
	err = r.commit(ctx, Change{Op: OpOf(ctx), Put: []Machine{m}, Deployments: []Deployment{d}, Audit: []AuditEntry{audit},
		Events: []Event{m.event(DeploymentCreated, r.now(), text+byWhom(ctx))}})
	if err != nil {
		return plan, err
	}
	r.log.Info("deployment", "deployment", d.ID, "machine", m.Name, "state", d.State, "os", d.OS, "disk", d.Disk.ByID, "by", d.By)
	m.Version++
	d.Version++
	plan.Deployment, plan.Machine = d, m
	if waits {
		r.wakeBatches()
	}
	return plan, nil
}

// Cancel ends a deployment. Where nothing has been written yet the machine is again
// what it was; else it has failed, and the reason says what is on its disk. Its agent
// learns of it with its next report. It errs with [*DeploymentError] for one that has
// ended, [ErrNotFound] or [ErrUnavailable].
func (r *Registry) Cancel(ctx context.Context, id string) (Deployment, error) {
	if err := r.writable(); err != nil {
		return Deployment{}, err
	}
	if AppliedBefore(ctx) {
		return r.Deployment(ctx, id)
	}
	d, _, err := r.turn(ctx, id, func(t *turn) (err error) {
		if t.d, err = t.d.cancelled(ActorOf(ctx).Name, r.now()); err != nil {
			return fmt.Errorf("cancel %s: %w", id, err)
		}
		t.tellState(r, t.d.name()+": "+t.d.Reason)
		audit, err := r.auditDeployment(ctx, DeploymentCancelled.kind(), t.d, t.m)
		t.audit = append(t.audit, audit)
		return err
	})
	return d, err
}

// Retry makes a new deployment of what was asked for with one that has ended without
// success, as things are now.
func (r *Registry) Retry(ctx context.Context, id string, batch Batch) (DeployPlan, error) {
	if err := r.writable(); err != nil {
		return DeployPlan{}, err
	}
	d, err := r.Deployment(ctx, id)
	if err != nil {
		return DeployPlan{}, err
	}
	if AppliedBefore(ctx) {
		return r.deployedBefore(ctx, d.Machine)
	}
	if !d.State.Ended() || d.State == DeploymentSucceeded {
		return DeployPlan{}, &RefusalError{fmt.Sprintf("retry %s: it is %s; only what failed, timed out or was cancelled is tried again", id, d.State)}
	}
	recipe, err := r.open(d)
	if err != nil {
		return DeployPlan{}, err
	}
	return r.Deploy(ctx, d.Machine, recipe.Request, batch)
}

// Deployment is one deployment, with how far it is; [ErrNotFound] when there is none.
func (r *Registry) Deployment(ctx context.Context, id string) (Deployment, error) {
	d, err := r.loadDeployment(ctx, id)
	return r.lately(d), err
}

// Deployments are those that q selects, with how far they are.
func (r *Registry) Deployments(ctx context.Context, q DeploymentQuery) ([]Deployment, error) {
	found, err := r.store.Deployments(ctx, q)
	for i := range found {
		found[i] = r.lately(found[i])
	}
	return found, r.heard(ctx, err)
}

// CountDeployments is how many there are in each state.
func (r *Registry) CountDeployments(ctx context.Context) (map[DeploymentState]int, error) {
	counts, err := r.store.CountDeployments(ctx)
	return counts, r.heard(ctx, err)
}

// Lines are up to limit lines of a deployment's log behind a position.
func (r *Registry) Lines(ctx context.Context, deployment string, after LinePosition, limit int) ([]DeploymentLine, error) {
	lines, err := r.store.Lines(ctx, deployment, after, limit)
	return lines, r.heard(ctx, err)
}

// Recipe is what a deployment carries out, secrets and all.
func (r *Registry) Recipe(ctx context.Context, id string) (Recipe, error) {
	d, err := r.Deployment(ctx, id)
	if err != nil {
		return Recipe{}, err
	}
	return r.open(d)
}

// newDeployment is what a request makes of a machine, before its plan is known.
func (r *Registry) newDeployment(ctx context.Context, m Machine, req DeployRequest) Deployment {
	now := r.now()
	return Deployment{ID: "d-" + strings.ToLower(rand.Text())[:12], Machine: m.ID, Kind: cmp.Or(req.Kind, KindInstall), OS: req.OS,
		Engine: EngineBuiltin, State: DeploymentPending, Limits: r.tools.Limits, Model: m.Hardware.System.Product,
		Was: m.State, WasReason: m.Reason, By: ActorOf(ctx).Name, CreatedAt: now, StateAt: now}
}
