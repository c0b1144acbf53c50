package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// manyOrder is the form that deploys to many machines, with what it would do to each.
type manyOrder struct {
	IDs      string // of the machines, with spaces
	OS, Disk string // Disk is a rule
	Keys     string // one a line
	UserData string
	AtOnce   string // how many are under way at once
	Typed    string
	Systems  []choice
	Given    []givenBy // beside what is asked for here, but for tags
	Faults   faults
	Planned  bool
	Total    int
	Fits     []manyPlan
	Refused  []outcomeGroup
	Loses    int    // how many of them have something on their disk
	Seen     string // tells one state of the plan from another

	erase []string // disks whose loss has to be said
}

// manyPlan is what would be done to one machine.
type manyPlan struct {
	ID, Name    string
	Disk, Found string
	Hold        string
	Loses       bool
}

// maxPlans is how many machines are shown with their disks.
const maxPlans = 300

// Shown are the first of those it would be done to; those that lose something come first.
func (o manyOrder) Shown() []manyPlan { return o.Fits[:min(len(o.Fits), maxPlans)] }

// phrase is what is typed where something is lost.
func (o manyOrder) phrase() string { return "erase " + strconv.Itoa(o.Loses) }

// deployMany shows the form of many machines, or orders what it says.
func (u *UI) deployMany(w http.ResponseWriter, r *http.Request, s registry.Selection) error {
	o := manyOrderIn(r)
	limit, req, err := o.request()
	if o.Faults = faultsOf(err, orderField); err != nil && o.Faults == nil {
		return err
	}
	if o.OS == "" {
		if err := u.chosenFor(r.Context(), s, &o); err != nil {
			return err
		}
		return u.showMany(w, r, &o, http.StatusOK)
	}
	if err := u.plannedFor(r.Context(), s, req, &o); err != nil {
		return err
	}
	if r.PostFormValue("go") != "order" || len(o.Faults) > 0 {
		return u.showMany(w, r, &o, http.StatusOK)
	}
	if o.Faults = o.unsaid(r.PostFormValue("seen")); o.Faults != nil {
		return u.showMany(w, r, &o, http.StatusUnprocessableEntity)
	}
	req.Erase = o.erase
	batch, all, err := u.Many.DeployMany(r.Context(), registry.Selection{Machines: strings.Fields(o.IDs)}, req, limit)
	if err != nil {
		if o.Faults = faultsOf(err, orderField); o.Faults == nil {
			return err
		}
		return u.showMany(w, r, &o, http.StatusUnprocessableEntity)
	}
	b := bulkView{Doing: doing{Word: "Deploy", Did: "to be installed"}, Ran: true, Batch: batch.ID}
	if req.Kind == registry.KindWipe {
		b.Doing.Did = "to be wiped"
	}
	b.take(all)
	return u.showBulk(w, r, &b, http.StatusOK)
}

// unsaid is what keeps the order from being carried out: what would be lost has changed
// since it was shown, or nobody has said that it may be.
func (o manyOrder) unsaid(seen string) faults {
	if seen != o.Seen {
		return faults{"": {hasChanged}}
	}
	if o.Loses > 0 && o.Typed != o.phrase() {
		return faults{"typed": {"Type " + o.phrase() + " here, as it is written: what is on those disks is lost."}}
	}
	return nil
}

// manyOrderIn is the form as it was sent.
func manyOrderIn(r *http.Request) manyOrder {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return manyOrder{OS: value("os"), Disk: value("disk"), Keys: value("keys"), UserData: value("user_data"), AtOnce: value("at_once"), Typed: value("typed")}
}

// request is what the form asks for.
func (o manyOrder) request() (limit int, req registry.DeployRequest, err error) {
	req = order{OS: o.OS, Disk: o.Disk, Keys: o.Keys, UserData: o.UserData}.request()
	if o.OS == assigned {
		req.OS = ""
	}
	if o.AtOnce != "" {
		if limit, err = strconv.Atoi(o.AtOnce); err != nil || limit < 1 || limit > registry.MaxSelected {
			err = &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/concurrency", Message: "want a number of machines, or nothing for all at once"}}}
		}
	}
	return limit, req, err
}

// assigned stands in the list of operating systems for the one that is meant for each.
const assigned = "assigned"

// chosenFor finds the machines that the form is about.
func (u *UI) chosenFor(ctx context.Context, s registry.Selection, o *manyOrder) error {
	all, err := u.Many.Select(ctx, s)
	if found := faultsOf(err, bulkField); found != nil {
		return &httpError{http.StatusUnprocessableEntity, strings.Join(found[""], " "), err}
	}
	o.IDs, o.Total = strings.Join(idsOf(all), " "), len(all)
	return err
}

// plannedFor asks what would be done to each.
func (u *UI) plannedFor(ctx context.Context, s registry.Selection, req registry.DeployRequest, o *manyOrder) error {
	_, all, err := u.Many.DeployMany(registry.WithDryRun(ctx), s, req, 0)
	if err != nil {
		found := faultsOf(err, orderField)
		if found == nil {
			return err
		}
		o.Faults = found
		return u.chosenFor(ctx, s, o)
	}
	o.Planned, o.Total = true, len(all)
	var refused []registry.Outcome
	var rest []manyPlan
	var seen []*registry.DeployPlan
	for _, one := range all {
		if one.Err != nil && !unconfirmed(one) {
			refused = append(refused, one)
			continue
		}
		p, disk := manyPlanOf(one), one.Plan.Deployment.Disk
		seen = append(seen, one.Plan)
		switch {
		case !p.Loses:
			rest = append(rest, p)
			continue
		case p.Hold != "":
			o.erase = append(o.erase, cmp.Or(disk.Serial, disk.ByID))
		}
		o.Fits, o.Loses = append(o.Fits, p), o.Loses+1
	}
	o.Fits, o.Refused = append(o.Fits, rest...), groupsOf(refused)
	o.IDs, o.Seen = strings.Join(idsOf(all), " "), seenOf(seen...)
	return nil
}

// unconfirmed reports whether all that keeps a plan from being carried out is that
// nobody has said that the disk may be lost.
func unconfirmed(o registry.Outcome) bool {
	wrong, ok := errors.AsType[*registry.InvalidError](o.Err)
	return ok && o.Plan != nil && o.Plan.Hold != "" && len(wrong.Fields) == 1 && wrong.Fields[0].Pointer == "/confirm" &&
		cmp.Or(o.Plan.Deployment.Disk.Serial, o.Plan.Deployment.Disk.ByID) != ""
}

func manyPlanOf(o registry.Outcome) manyPlan {
	d := o.Plan.Deployment.Disk
	return manyPlan{ID: o.ID, Name: o.Name, Disk: diskOf(d), Found: d.Found, Hold: o.Plan.Hold, Loses: loses(*o.Plan)}
}

// showMany shows the form.
func (u *UI) showMany(w http.ResponseWriter, r *http.Request, o *manyOrder, status int) error {
	systems, err := u.Deployments.OSes(r.Context())
	if err != nil {
		return err
	}
	for _, s := range systems {
		if !s.Disabled {
			o.Systems = append(o.Systems, choice{Value: s.ID, Text: words(s.Name, "("+s.ID+")")})
		}
	}
	if o.Given, err = u.given(r.Context(), registry.Machine{}, o.OS); err != nil {
		return err
	}
	f := u.frame(r, "Deploy to "+machinesOf(o.Total))
	f.Still = true
	return render(w, r, status, deployManyPage(f, *o))
}
