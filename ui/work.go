package ui

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// runs reads how far deployments are.
type runs interface {
	Deployments(ctx context.Context, q registry.DeploymentQuery) ([]registry.Deployment, error)
}

// work is how far the deployment of a machine is, as its row shows it.
type work struct {
	Title   string // such as "install debian-12"
	Percent int    // of all its actions
	Line    string // what it does, bytes, rate and time left
}

const (
	workEvery = time.Second // no agent tells more often how far it is
	workShare = 20          // of the time, one part in so many may be spent on looking
	maxWorks  = 1000        // deployments looked at, the oldest first
)

// works are what runs, and what the pages have of it.
type works struct {
	now, told map[string]work // by machine
	due       time.Time       // when to look again
	last      string          // the machine that was told of last, where not all could be
}

// workDue is when to look how far deployments are; ok is false where nothing is
// installed.
func (b *board) workDue() (at time.Time, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.works.due, b.facts.byState[registry.Installing] > 0
}

// lookAtWorks returns the machines of which the pages are to be told how far they are.
// Where the store does not answer that is told elsewhere, and nothing is known better.
func (b *board) lookAtWorks(ctx context.Context, now time.Time) map[string]work {
	if due, any := b.workDue(); !any || now.Before(due) {
		return nil
	}
	began := time.Now()
	found, err := b.runs.Deployments(ctx, registry.DeploymentQuery{States: []registry.DeploymentState{registry.DeploymentRunning}, Oldest: true, Limit: maxWorks})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.works.due = now.Add(max(workEvery, workShare*time.Since(began)))
	if err != nil {
		return nil
	}
	b.works.now = make(map[string]work, len(found))
	for _, d := range found {
		if d.HandedOut() { // nobody knows how far
			continue
		}
		percent, line := progressOf(d, now)
		b.works.now[d.Machine] = work{titleOf(d), percent, line}
	}
	return b.works.news()
}

// news is what the pages do not have yet: of [maxRows] machines at most, in turns.
func (w *works) news() map[string]work {
	maps.DeleteFunc(w.told, func(id string, _ work) bool { _, runs := w.now[id]; return !runs })
	var ids []string
	for id, is := range w.now {
		if w.told[id] != is {
			ids = append(ids, id)
		}
	}
	if len(ids) > maxRows {
		slices.Sort(ids)
		from, _ := slices.BinarySearch(ids, w.last+"\x00")
		ids = append(ids[from:], ids[:from]...)[:maxRows]
		w.last = ids[maxRows-1]
	}
	news := make(map[string]work, len(ids))
	for _, id := range ids {
		news[id] = w.now[id]
	}
	if w.told == nil {
		w.told = map[string]work{}
	}
	maps.Copy(w.told, news)
	return news
}

// end forgets what the events say is over.
func (w *works) end(events []registry.Event) {
	for _, e := range events {
		if strings.HasPrefix(string(e.Kind), "deployment.") && !slices.Contains(going, e.Kind) {
			delete(w.now, e.Machine)
		}
	}
}

// going are the events of a deployment that runs.
var going = []registry.Kind{registry.DeploymentClaimed, registry.DeploymentAction, registry.DeploymentWriting, kindOf(registry.DeploymentRunning)}
