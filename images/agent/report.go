package agent

import (
	"context"
	"net/http"
	"sync"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

const (
	reportEvery = time.Second // how far an action is
	maxLines    = 5000        // of the log that wait for the server; older ones are given up
	reportLines = 500         // in one report, as the server takes them
	maxLine     = 1000        // bytes
)

// report tells the server what becomes of the actions, one report at a time. It is
// safe for concurrent use.
type report struct {
	*agent
	client *api.Client
	work   api.Work
	stop   context.CancelCauseFunc // called when the server wants no more

	sending sync.Mutex // held by whoever speaks to the server

	mu      sync.Mutex
	action  int
	changed bool // the disk is, or is about to be
	at      *registry.Progress
	since   time.Time // when the action began
	first   int       // number of lines[0]
	lines   []string
}

// begin turns to an action.
func (r *report) begin(index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.action, r.at, r.since = index, nil, time.Now()
}

func (r *report) wrote() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = true
}

// log takes a line for the operator.
func (r *report) log(line string) {
	r.Log.Debug(clean(line))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line[:min(len(line), maxLine)])
	if over := len(r.lines) - maxLines; over > 0 {
		r.lines, r.first = r.lines[over:], r.first+over
	}
}

// progress takes how far the action is, for the next report.
func (r *report) progress(p action.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = &registry.Progress{Stage: p.Stage, Done: p.Done, Total: p.Total}
	if took := time.Since(r.since).Seconds(); took > 0 {
		r.at.Rate = float64(p.Done) / took
	}
}

// follow reports every second how far the action is, until ctx ends. A report that
// does not arrive is replaced by the next one.
func (r *report) follow(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.sending.Lock()
			if r.news() {
				_ = r.speak(ctx, registry.ActionRunning, "")
			}
			r.sending.Unlock()
		}
	}
}

// news reports whether there is anything to tell, and that the action has begun.
func (r *report) news() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.since.IsZero() && (r.at != nil || len(r.lines) > 0)
}

// send reports a state of the action until the server has taken it. With an error
// the deployment does not go on.
func (r *report) send(ctx context.Context, state registry.ActionState, message string) error {
	err := r.retry(ctx, "report on the deployment", func() error {
		r.sending.Lock()
		defer r.sending.Unlock()
		// The last report on an action has the last lines: those before go first.
		for state != registry.ActionRunning && ctx.Err() == nil && r.waiting() > reportLines {
			if err := r.speak(ctx, registry.ActionRunning, ""); err != nil {
				return err
			}
		}
		return r.speak(ctx, state, message)
	})
	if err == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// waiting is how many lines the server has yet to be told.
func (r *report) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// speak sends one report. That the server wants no more of the deployment ends it.
// The caller holds sending.
func (r *report) speak(ctx context.Context, state registry.ActionState, message string) error {
	req := r.next(state, message)
	reply, err := r.client.Report(ctx, req)
	switch {
	case api.Status(err) == http.StatusConflict, api.Status(err) == http.StatusNotFound:
		r.stop(&takenBackError{err.Error()})
		return nil
	case err != nil:
		return err
	}
	r.taken(req)
	if reply.Do == api.ReportCancel {
		r.stop(&takenBackError{clean(reply.Reason)})
	}
	return nil
}

// next is the report on what there is to tell.
func (r *report) next(state registry.ActionState, message string) api.ReportRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return api.ReportRequest{Deployment: r.work.Deployment, Attempt: r.work.Attempt, Action: r.action, State: state,
		Message: message[:min(len(message), 4096)], Wrote: r.changed, Progress: r.at, LinesFrom: r.first,
		Lines: r.lines[:min(len(r.lines), reportLines):min(len(r.lines), reportLines)]}
}

// taken forgets what the server has.
func (r *report) taken(req api.ReportRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := req.LinesFrom + len(req.Lines) - r.first
	if gone > 0 {
		r.lines, r.first = r.lines[gone:], r.first+gone
	}
	if r.at == req.Progress {
		r.at = nil
	}
	if req.State != registry.ActionRunning {
		r.since = time.Time{} // it is over; the next one has yet to begin
	}
}
