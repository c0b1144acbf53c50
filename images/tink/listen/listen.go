// Package listen puts Dragonfly in the place of Tink server: a machine that somebody
// boots into HookOS, or into our agent image as a worker, asks here for the actions of
// its deployment, and is installed without Kubernetes.
//
// The protocol has no tokens. Who may have a deployment is decided by
// [registry.Registry.ClaimByWorker]; whoever may not is told the same as those for whom
// there is nothing, so that nobody learns which machines there are. A Workflow is
// called dragonfly/DEPLOYMENT here, an action ATTEMPT/INDEX, and a task by a name that
// only the worker was told which has the deployment: with it, and from the same
// address, reports have to come.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/images/tink"
	"dragonfly/registry"
)

// Registry is what is asked of a [registry.Registry].
type Registry interface {
	ClaimByWorker(ctx context.Context, w registry.Worker) (registry.Deployment, registry.Recipe, error)
	ReportByWorker(ctx context.Context, w registry.Worker, report registry.ActionReport) error
	Sight(s registry.Sighting)
}

// Service is a [tink.Service].
type Service struct {
	registry  Registry
	log       *slog.Logger
	strangers strangers
}

// New is a service that gives workers the deployments of a registry.
func New(r Registry, log *slog.Logger) *Service {
	return &Service{registry: r, log: log, strangers: strangers{told: map[string]time.Time{}}}
}

const workflowPrefix = "dragonfly/" // where Tink server has a namespace

// GetAction is the next action of the deployment of a worker's machine.
func (s *Service) GetAction(ctx context.Context, from tink.Peer, agent string) (tink.Action, error) {
	w := registry.Worker{ID: agent, Addr: from.Addr}
	d, recipe, err := s.registry.ClaimByWorker(ctx, w)
	if err == nil && d.Action >= len(recipe.Actions) {
		err = fmt.Errorf("deployment %s has %d actions, and number %d is next", d.ID, len(recipe.Actions), d.Action)
	}
	if err != nil {
		return tink.Action{}, s.refusal(w, err)
	}
	return action(d, recipe.Actions[d.Action], agent), nil
}

// action is a step of a deployment as a worker is given it.
func action(d registry.Deployment, step registry.RecipeAction, agent string) tink.Action {
	a := tink.Action{Workflow: workflowPrefix + d.ID, Task: d.BootID, Agent: agent, ID: fmt.Sprintf("%d/%d", d.Attempt, d.Action),
		Name: step.Name, Image: step.Image, Timeout: step.Timeout, Command: step.Command, Volumes: step.Volumes, PID: step.PID, Network: step.Network}
	for _, name := range slices.Sorted(maps.Keys(step.Environment)) {
		a.Environment = append(a.Environment, name+"="+step.Environment[name])
	}
	return a
}

var errNothing = &tink.Error{Code: tink.NotFound, Message: "there is nothing to do for this worker"}

// refusal is what a worker is told that is given nothing. Why that is so is for the log
// and the machine's timeline.
func (s *Service) refusal(w registry.Worker, err error) error {
	if errors.Is(err, registry.ErrUnavailable) {
		return &tink.Error{Code: tink.Unavailable, Message: registry.ErrUnavailable.Error()}
	}
	if stranger, is := errors.AsType[*registry.StrangerError](err); is && s.strangers.first(w.Addr.String()+" "+stranger.Machine, time.Now()) {
		s.log.Warn("a worker was given nothing", "worker", w.ID, "peer", w.Addr, "machine", stranger.Machine, "err", err)
		s.registry.Sight(registry.Sighting{At: time.Now(), MAC: stranger.MAC, Remote: w.Addr, Stage: registry.StageWorker,
			Detail: fmt.Sprintf("%s asked for this machine's work by Tink server's protocol, and was given nothing: %s", w.Addr, stranger.Why)})
	}
	if refused, is := errors.AsType[*registry.RefusalError](err); is {
		s.log.Info("a worker was given nothing", "worker", w.ID, "peer", w.Addr, "err", refused)
		return errNothing
	}
	if !errors.Is(err, registry.ErrNoWork) && !errors.Is(err, registry.ErrNotFound) {
		s.log.Warn("a worker was given nothing", "worker", w.ID, "peer", w.Addr, "err", err)
	}
	return errNothing
}

// ReportActionStatus takes what a worker says of the action that it was given.
func (s *Service) ReportActionStatus(ctx context.Context, from tink.Peer, status tink.Status) error {
	report, err := understood(status)
	if err != nil {
		return err
	}
	w := registry.Worker{ID: status.Agent, Addr: from.Addr}
	err = s.registry.ReportByWorker(ctx, w, report)
	if err == nil {
		return nil
	}
	refused, isRefusal := errors.AsType[*registry.RefusalError](err)
	_, isInvalid := errors.AsType[*registry.InvalidError](err)
	switch {
	case errors.Is(err, registry.ErrNoWork):
		return errNotYours
	case isRefusal:
		return &tink.Error{Code: tink.FailedPrecondition, Message: refused.Why}
	case isInvalid:
		return &tink.Error{Code: tink.InvalidArgument, Message: err.Error()}
	case errors.Is(err, registry.ErrUnavailable):
		return &tink.Error{Code: tink.Unavailable, Message: registry.ErrUnavailable.Error()}
	}
	s.log.Warn("the report of a worker", "worker", w.ID, "peer", w.Addr, "err", err)
	return err
}

var errNotYours = &tink.Error{Code: tink.NotFound, Message: "that is no action of this worker"}

// states are what a worker says of an action, in our words.
var states = map[tink.State]registry.ActionState{tink.Running: registry.ActionRunning, tink.Success: registry.ActionSucceeded,
	tink.Failed: registry.ActionFailed, tink.Timeout: registry.ActionFailed}

// understood is a report in our words.
func understood(status tink.Status) (registry.ActionReport, error) {
	state, known := states[status.State]
	if !known {
		return registry.ActionReport{}, &tink.Error{Code: tink.InvalidArgument, Message: fmt.Sprintf("state %d of an action: want running, success, failed or timeout", status.State)}
	}
	deployment, ours := strings.CutPrefix(status.Workflow, workflowPrefix)
	attempt, index, _ := strings.Cut(status.Action, "/")
	n, err1 := strconv.ParseUint(attempt, 10, 16)
	i, err2 := strconv.ParseUint(index, 10, 16)
	if !ours || err1 != nil || err2 != nil || status.Task == "" {
		return registry.ActionReport{}, errNotYours
	}
	return registry.ActionReport{Deployment: deployment, Boot: status.Task, Attempt: int(n), Action: int(i), State: state, Message: message(status)}, nil
}

// saysNothing is the message of Tinkerbell's own agent, however an action ended.
const saysNothing = "action completed"

// message is how an action ended, for people.
func message(status tink.Status) string {
	text := status.Message
	switch silent := text == "" || text == saysNothing; {
	case status.State == tink.Timeout && silent:
		return "it was not done in time, says the worker, and no more: what it printed is on the machine"
	case status.State == tink.Failed && silent:
		return "the worker does not say why: what it printed is on the machine"
	case status.State == tink.Timeout:
		return "it was not done in time: " + text
	case silent:
		return ""
	}
	return text
}
