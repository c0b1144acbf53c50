package ui

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/a-h/templ"

	"dragonfly/registry"
)

// firstView is the boot of the machine that came last, for somebody who has never seen
// one: where it can come, how far it is, and what to do when it does not.
type firstView struct {
	registry.Networks
	Now        time.Time
	Machine    *row // nil: none has come yet
	Legs       []leg
	Events     []step
	Registered bool
	Written    *deploymentView // the last deployment that changed a disk of it; nil: none did
	Stalled    string          // why nothing goes on; empty while it does
	Deployable string          // why it cannot be deployed; empty where it can
	Operator   bool
}

// leg is a part of the way from being switched on to being registered.
type leg struct {
	Title, Word string
	State       string // done, now, or next
}

// first is the page that one lands on after the first account was made.
func (u *UI) first(w http.ResponseWriter, r *http.Request) error {
	v, err := u.firstView(r.Context())
	if err != nil {
		return err
	}
	v.Operator = operator(r)
	return render(w, r, http.StatusOK, firstPage(u.frame(r, "Boot one machine now"), v))
}

// firstLive streams what changes of it.
func (u *UI) firstLive(w http.ResponseWriter, r *http.Request) error {
	return u.watch(w, r, watched{
		concerns: func(e registry.Event) bool { return e.Machine != "" },
		part: func(ctx context.Context) (templ.Component, error) {
			v, err := u.firstView(ctx)
			v.Operator = operator(r)
			return firstPart(v, true), err
		},
	})
}

const (
	freshFor   = time.Hour // how long a machine is the one that has just come
	lookedBack = 500       // events among which it is looked for
)

// came is the machine that was heard of last, if any was: one that a list names was not
// yet.
func (u *UI) came(ctx context.Context, now time.Time) ([]registry.Machine, error) {
	id, last := "", u.Feed.Last()
	for after := max(0, last-lookedBack); after < last; {
		events, err := u.Feed.Next(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			heard := e.Kind == registry.MachineDiscovered || e.Kind == registry.MachineRegistered || e.Stage() != ""
			if heard && now.Sub(e.At) < freshFor {
				id = e.Machine
			}
			after = e.Seq
		}
	}
	if id == "" {
		return nil, nil
	}
	return u.Machines.Machines(ctx, registry.Query{IDs: []string{id}, Limit: 1, Brief: true, Now: now})
}

func (u *UI) firstView(ctx context.Context) (v firstView, err error) {
	v.Now, v.Networks = time.Now(), u.Network()
	came, err := u.came(ctx, v.Now)
	if err != nil || len(came) == 0 {
		v.Legs = legsOf(registry.Machine{}, nil)
		return v, err
	}
	m := came[0]
	events, err := u.Records.Timeline(ctx, m.ID, 0, shownEvents)
	if err != nil {
		return v, err
	}
	if v.Events, err = u.timeline(ctx, m, shownLatest, v.Now); err != nil {
		return v, err
	}
	shown := rowOf(m, note{}, v.Now)
	v.Machine, v.Registered, v.Deployable, v.Legs = &shown, !m.RegisteredAt.IsZero(), undeployable(m), legsOf(m, events)
	if v.Written, err = u.written(ctx, m, v.Now); err != nil {
		return v, err
	}
	if len(events) > 0 && events[0].Kind == registry.MachineStalled && !v.Registered {
		v.Stalled = events[0].Message
	}
	return v, nil
}

// written is the last deployment that changed a disk of m, if one did: whoever boots a
// machine for the first time wants to know that nothing was lost.
func (u *UI) written(ctx context.Context, m registry.Machine, now time.Time) (*deploymentView, error) {
	all, err := u.Deployments.Deployments(ctx, registry.DeploymentQuery{Machines: []string{m.ID}})
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(d registry.Deployment) bool { return d.Wrote }); i >= 0 {
		return new(viewOf(all[i], m, now)), nil
	}
	return nil, nil
}

// legStages are the boot steps that the legs but the last are known by.
var legStages = [][]registry.Stage{{registry.StageDHCP}, {registry.StageProgram}, {registry.StageScript}, {registry.StageKernel, registry.StageInitrd}}

// legsOf is how far a machine is by its events. Firmware that has iPXE leaves out legs:
// whoever has come further does not need them.
func legsOf(m registry.Machine, events []registry.Event) []leg {
	legs := []leg{
		{Title: "Asks for an address", Word: "it was told where to boot (DHCP)"},
		{Title: "Loads iPXE", Word: "the boot program was sent"},
		{Title: "Reads its script", Word: "it was told to boot the agent"},
		{Title: "Starts the agent", Word: "a small Linux, in memory only"},
		{Title: "Registers", Word: "its hardware is known"},
	}
	far := -1
	for i, stages := range legStages {
		if slices.ContainsFunc(events, func(e registry.Event) bool { return slices.Contains(stages, e.Stage()) }) {
			legs[i].State, far = "done", i
		}
	}
	if !m.RegisteredAt.IsZero() {
		legs[len(legs)-1].State, far = "done", len(legs)-1
	}
	for i := range legs {
		switch {
		case legs[i].State == "done":
		case i < far:
			legs[i].State, legs[i].Word = "done", "it was not needed, or not seen"
		case i == far+1 && m.ID != "":
			legs[i].State, legs[i].Word = "now", "waiting for it"
		default:
			legs[i].State, legs[i].Word = "next", "not yet"
		}
	}
	return legs
}

// heard are the last requests on all interfaces, the newest first: they show that the
// network reaches this server at all.
func (v firstView) heard() []registry.NetworkRequest {
	var all []registry.NetworkRequest
	for _, on := range v.Interfaces {
		all = append(all, on.Requests...)
	}
	slices.SortStableFunc(all, func(a, b registry.NetworkRequest) int { return b.At.Compare(a.At) })
	return all[:min(len(all), 3)]
}

// addresses is who gives out addresses on a network.
func addresses(on registry.NetworkInterface) string {
	for _, s := range on.Servers {
		if s.Addresses && !s.Silent {
			return "addresses come from " + s.Address
		}
	}
	return cmp.Or(map[bool]string{true: "no DHCP server was heard of yet: machines need one for an address"}[on.Link], "no cable, or it is switched off")
}

func (u *UI) firstPages() map[string]page {
	return map[string]page{"GET /first": u.first, "GET /first/live": u.firstLive}
}
