package ui

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"time"

	"dragonfly/registry"
)

// wipe stands in the list of operating systems for leaving the disk empty.
const wipe = "wipe"

// order is the form that deploys to a machine, with what it would do.
type order struct {
	Machine  row
	OS, Disk string // what is chosen; Disk is a rule
	Hostname string
	Keys     string // one a line
	UserData string
	Network  netForm
	Typed    string // the machine's name, by which the loss of what is on the disk is confirmed
	Systems  []choice
	Disks    []choice
	Given    []givenBy // beside what is asked for here
	Faults   faults
	Plan     *plan // nil: nothing was chosen yet
}

// choice is something to be chosen. Why not is set where it cannot be.
type choice struct{ Value, Text, Why string }

// plan is what a deployment would do.
type plan struct {
	Disk, Found, Why string
	Hold             string // why the loss has to be confirmed
	Loses            bool   // something is on the disk
	Passed           []string
	Notes            []string
	Actions          []string
	Text             string // the rendered template
	Ready            bool   // nothing keeps it from being carried out
	Seen             string // tells what is shown from what would be done later

	confirm string // names the disk whose loss is confirmed
}

func (u *UI) deployForm(w http.ResponseWriter, r *http.Request) error {
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	o := order{OS: cmp.Or(r.FormValue("os"), m.OS)}
	return u.showOrder(w, r, m, &o, http.StatusOK)
}

// deploy orders what the form says, or shows what that would do.
func (u *UI) deploy(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	o := orderIn(r)
	if r.PostFormValue("do") != "order" {
		return u.showOrder(w, r, m, &o, http.StatusOK)
	}
	if o.wrong() {
		return u.showOrder(w, r, m, &o, http.StatusUnprocessableEntity)
	}
	if err := u.planned(r.Context(), m, &o); err != nil {
		return err
	}
	if found := o.unsaid(m, r.PostFormValue("seen")); found != nil {
		o.fault(found)
		return u.showOrder(w, r, m, &o, http.StatusUnprocessableEntity)
	}
	req := o.request()
	req.Confirm = o.Plan.confirm
	made, err := u.Orders.Deploy(r.Context(), m.ID, req, registry.Batch{})
	if err == nil {
		http.Redirect(w, r, "/deployments/"+made.Deployment.ID, http.StatusSeeOther)
		return nil
	}
	found := faultsOf(err, orderField)
	if found == nil {
		return err
	}
	o.fault(found)
	status, _ := refusal(err)
	return u.showOrder(w, r, m, &o, status)
}

// unsaid is what keeps the order from being carried out: it is not what was shown, or
// something would be lost that nobody has given up by typing the machine's name.
func (o *order) unsaid(m registry.Machine, seen string) faults {
	if o.Plan == nil || seen != o.Plan.Seen {
		o.Typed = "" // it was said of something else
		return faults{"": {hasChanged}}
	}
	if (o.Plan.Loses || o.Plan.Hold != "") && o.Typed != m.Name {
		return faults{"typed": {"Type " + m.Name + " here, as it is written: what is on the disk is lost."}}
	}
	return nil
}

// hasChanged is said where an order is not what its form has shown.
const hasChanged = "What would be done has changed since it was shown. Look at it again."

// seenOf tells what plans overwrite, and with what, from what others do.
func seenOf(plans ...*registry.DeployPlan) string {
	hash := sha256.New()
	for _, p := range plans {
		d := p.Deployment
		said := []string{p.Machine.ID, string(d.Kind), d.OS, d.Disk.Name, d.Disk.Serial, d.Disk.ByID, d.Disk.Found, p.Hold}
		_, _ = hash.Write([]byte(strings.Join(said, "\x00") + "\n")) // a hash never errs
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// orderIn is the form as it was sent.
func orderIn(r *http.Request) order {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return order{OS: value("os"), Disk: value("disk"), Hostname: value("hostname"), Keys: value("keys"), UserData: value("user_data"), Network: netFormIn(r), Typed: value("typed")}
}

// wrong notes what cannot be read of the form.
func (o *order) wrong() bool {
	_, err := o.Network.network()
	found := faultsOf(err, orderField)
	o.fault(found)
	return found != nil
}

// request is what the form asks for.
func (o order) request() registry.DeployRequest {
	req := registry.DeployRequest{OS: o.OS, Disk: o.Disk, Seed: registry.Seed{Hostname: o.Hostname, UserData: o.UserData}}
	req.Seed.SSHKeys = keysIn(o.Keys)
	req.Seed.Network, _ = o.Network.network() // what is wrong with it was said
	if o.OS == wipe {
		req = registry.DeployRequest{Kind: registry.KindWipe, Disk: o.Disk}
	}
	return req
}

// keysIn are the keys in a field, one a line.
func keysIn(text string) (keys []string) {
	for key := range strings.Lines(text) {
		if key = strings.TrimSpace(key); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// orderField is the field that a pointer of a request belongs to.
func orderField(pointer string) string {
	for _, f := range []struct{ prefix, name string }{{"/os", "os"}, {"/disk", "disk"}, {"/confirm", "typed"}, {"/concurrency", "at_once"}, {"/seed/hostname", "hostname"},
		{"/seed/ssh_keys", "keys"}, {"/seed/user_data", "user_data"}, {"/seed/network", "net"}} {
		if strings.HasPrefix(pointer, f.prefix) {
			return f.name
		}
	}
	return ""
}

// showOrder shows the form, with what it would do as it is.
func (u *UI) showOrder(w http.ResponseWriter, r *http.Request, m registry.Machine, o *order, status int) error {
	o.Machine = rowOf(m, note{}, time.Now())
	if err := u.offer(r.Context(), m, o); err != nil {
		return err
	}
	var err error
	if o.Given, err = u.given(r.Context(), m, o.OS); err != nil {
		return err
	}
	o.Network.offer(m)
	if !o.wrong() && o.OS != "" && o.Plan == nil {
		if err := u.planned(r.Context(), m, o); err != nil {
			return err
		}
	}
	f := u.frame(r, "Deploy to "+m.Name)
	f.Still = true
	return render(w, r, status, deployPage(f, *o))
}

// offer lists what may be chosen.
func (u *UI) offer(ctx context.Context, m registry.Machine, o *order) error {
	systems, err := u.Deployments.OSes(ctx)
	if err != nil {
		return err
	}
	for _, s := range systems {
		c := choice{Value: s.ID, Text: words(s.Name, "("+s.ID+")")}
		switch {
		case s.Disabled:
			continue
		case !s.Fits(m.Hardware.CPU.Arch):
			c.Why = "not for " + cmp.Or(m.Hardware.CPU.Arch, "this machine")
		}
		o.Systems = append(o.Systems, c)
	}
	for _, d := range m.Hardware.Disks {
		c := choice{Value: "serial:" + quoted(d.Serial), Text: words(d.Name, d.Size(), d.Model, d.Serial)}
		if d.Serial == "" {
			c.Value = "by-id:" + quoted(path.Base(d.ByID))
			c.Text = words(d.Name, d.Size(), d.Model, path.Base(d.ByID))
		}
		if d.Serial != "" || d.ByID != "" { // a name of the kernel's may be another disk tomorrow
			o.Disks = append(o.Disks, c)
		}
	}
	return nil
}

// quoted is a value as disk rules have it.
func quoted(s string) string {
	if !strings.ContainsAny(s, " \t\",\\") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// planned asks what would be done.
func (u *UI) planned(ctx context.Context, m registry.Machine, o *order) error {
	made, err := u.Orders.Deploy(registry.WithDryRun(ctx), m.ID, o.request(), registry.Batch{})
	if err != nil {
		found := faultsOf(err, orderField)
		if found == nil {
			return err
		}
		o.fault(found)
		return nil
	}
	disk := made.Deployment.Disk
	p := &plan{Disk: diskOf(disk), Found: disk.Found, Why: disk.Why, Hold: made.Hold, Notes: made.Notes, Ready: true, Seen: seenOf(&made), confirm: cmp.Or(disk.Serial, disk.ByID), Loses: loses(made)}
	p.Text = made.Recipe.Text
	for _, passed := range made.Passed {
		p.Passed = append(p.Passed, passed.String())
	}
	for _, a := range made.Recipe.Actions {
		p.Actions = append(p.Actions, a.Name)
	}
	for _, problem := range made.Problems {
		found := faultsOf(problem, orderField)
		if _, held := found["typed"]; held && len(found) == 1 { // that is asked for below
			continue
		}
		p.Ready = false
		o.fault(found)
	}
	o.Plan = p
	return nil
}

// diskOf names the disk that is overwritten; empty where none is.
func diskOf(d registry.DeploymentDisk) string {
	if d == (registry.DeploymentDisk{}) {
		return ""
	}
	return words(d.Name, decimalSize(d.Bytes), d.Model, d.Serial)
}

// loses reports whether something is on the disk, or may be.
func loses(p registry.DeployPlan) bool {
	found := p.Deployment.Disk.Found
	return p.Hold != "" || found != "" && found != string(registry.Blank)
}

// fault adds what is wrong, unless it is there already.
func (o *order) fault(found faults) {
	if o.Faults == nil {
		o.Faults = faults{}
	}
	for field, texts := range found {
		if len(o.Faults[field]) == 0 {
			o.Faults[field] = texts
		}
	}
}
