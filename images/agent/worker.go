package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dragonfly/images/tink"
	"dragonfly/registry"
)

// tinkServer is what a worker asks of Tink server; a [*tink.Client].
type tinkServer interface {
	GetAction(ctx context.Context, agent string, found registry.Hardware) (tink.Action, error)
	ReportActionStatus(ctx context.Context, s tink.Status) error
}

// worker is this boot as a worker of Tinkerbell: it asks Tink server for one action
// after the other and carries each out. What may be written to is what the Workflow
// says: its author answers for that, as with any other worker.
//
// An action begins after the server has taken a report that it does, and the next one
// is asked for after the server has taken one on how it ended. An action that this
// boot has ended is not carried out again, whatever the server asks for; how it ended
// is told again, with the words that it is so.
type worker struct {
	*agent
	server   tinkServer
	hardware registry.Hardware
	workflow string                 // the last one
	ended    map[string]tink.Status // of this boot, by workflow and action
}

// workForTinkerbell carries out what Tink server says. A Dragonfly that booted this
// machine is told of it too, and may restart it between two actions.
func (a *agent) workForTinkerbell(ctx context.Context, hardware registry.Hardware) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	restarted := make(chan struct{})
	if a.Boot.URL != "" {
		wg.Go(func() {
			if err := a.workForDragonfly(ctx, hardware); err == nil {
				close(restarted)
			} else if ctx.Err() == nil {
				a.problem(fmt.Errorf("%w; going on for Tinkerbell", err))
			}
		})
	}
	w := &worker{agent: a, server: tink.NewClient(a.Boot.Tink), hardware: hardware, ended: map[string]tink.Status{}}
	done := make(chan error, 1)
	wg.Go(func() { done <- w.run(ctx) })
	select {
	case err := <-done:
		return err
	case <-restarted:
		return nil
	}
}

// run carries out one action after the other, until one ends this boot.
func (w *worker) run(ctx context.Context) error {
	fmt.Fprintf(w.Console, "dragonfly: worker %s of Tinkerbell at %s\n", clean(w.Boot.Worker), w.Boot.Tink.Authority)
	for asked := (time.Time{}); ; {
		pause(ctx, pollMin-time.Since(asked)) // a server that answers at once is not hammered
		asked = time.Now()
		step, err := w.next(ctx)
		if err != nil {
			return err
		}
		if done, err := w.serve(ctx, step); done || err != nil {
			return err
		}
	}
}

// idleFor is the longest wait for a Workflow between two questions.
const idleFor = 4 * time.Second

// next asks until there is an action. It errs only when ctx ends.
func (w *worker) next(ctx context.Context) (tink.Action, error) {
	var pace backoff
	for {
		step, err := w.server.GetAction(ctx, w.Boot.Worker, w.hardware)
		switch code := tink.CodeOf(err); {
		case ctx.Err() != nil:
			return step, ctx.Err()
		case err == nil && step.Workflow != "" && step.ID != "":
			return step, nil
		case err == nil:
			w.problem(fmt.Errorf("%s handed out an action without an ID; it was not carried out", w.Boot.Tink.Authority))
		case code == tink.NotFound:
			w.screen.doing("waiting: Tinkerbell has no Workflow for the worker " + clean(w.Boot.Worker))
		case code == tink.FailedPrecondition:
			w.screen.doing("waiting: Tinkerbell's Workflow for the worker " + clean(w.Boot.Worker) + " is not ready, or over")
		default:
			w.problem(err)
		}
		pace.next = min(pace.next, idleFor/2)
		pace.wait(ctx)
	}
}

// tell reports until the server has taken it. It errs when ctx ends, and with an
// error that says for good that the server does not want the report.
func (w *worker) tell(ctx context.Context, s tink.Status) error {
	var pace backoff
	for {
		err := w.server.ReportActionStatus(ctx, s)
		switch tink.CodeOf(err) {
		case tink.OK, tink.NotFound, tink.InvalidArgument, tink.FailedPrecondition:
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.problem(err)
		pace.next = min(pace.next, idleFor/2)
		pace.wait(ctx)
	}
}
