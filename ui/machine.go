package ui

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"dragonfly/registry"
)

// Explanation is what a machine would be served if it booted now.
type Explanation struct {
	Rule   string   // which decided on the script
	Script string   // of iPXE, without a token
	DHCP   []Served // the firmware's exchange, then iPXE's
}

// Served is the answer to one DHCP exchange.
type Served struct {
	Client, Rule string
	Fields       [][2]string // option and value
}

// The tabs of a machine's page.
var machineTabs = []tab{{"", "Summary"}, {"timeline", "Timeline"}, {"hardware", "Hardware"}, {"storage", "Storage"}, {"network", "Network"}, {"deployments", "Deployments"}, {"boot", "Boot"}, {"configuration", "Configuration"}}

type tab struct{ Name, Title string }

// The most that a page shows of a list.
const (
	shownEvents      = 200
	shownLatest      = 12
	shownHistory     = 20
	shownDeployments = 50
)

// machineView is one machine as its page shows it.
type machineView struct {
	row
	Version    int64
	Told       told
	Tab        string
	Reason     string
	Locked     string // by whom and why; empty where it is not
	Operator   bool
	Facts      []factGroup
	Events     []step
	Now        *deploymentView // under way, or ended without success and the last one
	All        []deploymentView
	Parts      []partGroup
	Changes    []change
	Explain    Explanation
	CannotSay  string // why there is no explanation
	Deployable string // why it cannot be deployed; empty where it can
}

type factGroup struct {
	Title string
	Facts []labelled
}

// labelled is a value with what it is. Mono is for what is copied.
type labelled struct {
	Label, Value string
	Mono         bool
}

// partGroup is the parts of a machine of one kind.
type partGroup struct {
	Title string
	Heads []string
	Rows  [][]string
}

// change is what was different at a registration.
type change struct {
	At    moment
	Lines []string
}

// step is an event of a timeline.
type step struct {
	At      moment
	Clock   string
	After   string // since the event before it
	Kind    registry.Kind
	Message string
	Tone    string // bad, warn, good, or none
}

func (u *UI) machine(w http.ResponseWriter, r *http.Request) error {
	v, err := u.machineView(r.Context(), r.PathValue("id"), r.FormValue("tab"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	v.Operator, v.Told = operator(r), toldOf(r, v.ID, v.Version)
	return render(w, r, http.StatusOK, machinePage(u.frame(r, v.Name), v))
}

// gone says what to do about a machine that is not there.
func (u *UI) gone(err error, id string) error {
	if status, _ := refusal(err); status == http.StatusNotFound {
		return &httpError{http.StatusNotFound, "There is no machine " + cut(id, 60) + ". It may have been deleted, or merged with another record of the same machine; the list finds it by serial number or hardware address.", err}
	}
	return err
}

func (u *UI) machineLive(w http.ResponseWriter, r *http.Request) error {
	id, tab := r.PathValue("id"), r.FormValue("tab")
	m, err := u.Records.Machine(r.Context(), id)
	if err != nil {
		return u.gone(err, id)
	}
	return u.watch(w, r, watched{
		concerns: func(e registry.Event) bool { return e.Machine == m.ID },
		part: func(ctx context.Context) (templ.Component, error) {
			v, err := u.machineView(ctx, m.ID, tab)
			v.Operator = operator(r)
			return machinePart(v, true), err
		},
	})
}

func (u *UI) machineView(ctx context.Context, id, tab string) (v machineView, err error) {
	now := time.Now()
	m, err := u.Records.Machine(ctx, id)
	if err != nil {
		return v, err
	}
	v = machineView{row: rowOf(m, note{}, now), Version: m.Version, Tab: tab, Reason: m.Reason, Deployable: undeployable(m)}
	if m.Lock != nil {
		v.Locked = strings.TrimSuffix("by "+m.Lock.By+": "+m.Lock.Note, ": ")
	}
	if err := u.current(ctx, &v, m, now); err != nil {
		return v, err
	}
	switch tab {
	case "":
		v.Facts = factsOf(m)
		v.Events, err = u.timeline(ctx, m, shownLatest, now)
	case "timeline":
		v.Events, err = u.timeline(ctx, m, shownEvents, now)
	case "hardware":
		v.Facts, v.Parts = hardwareOf(m)
		v.Changes, err = u.changes(ctx, m, now)
	case "storage":
		v.Parts = storageOf(m)
	case "network":
		v.Facts, v.Parts = networkOf(m)
	case "configuration":
		v.Facts = configurationOf(m, now)
	case "deployments":
		v.All, err = u.deploymentsOf(ctx, m, now)
	case "boot":
		if v.Explain, err = u.Explain(ctx, m); err != nil {
			v.CannotSay, err = sentence(err), nil
		}
	default:
		return v, &httpError{status: http.StatusNotFound, detail: "A machine's page has no part " + cut(tab, 40) + "."}
	}
	return v, err
}

// undeployable is why nothing can be installed on a machine now.
func undeployable(m registry.Machine) string {
	if m.Lock != nil {
		return "It is locked by " + m.Lock.By + "."
	}
	if m.State == registry.Installing {
		return "It is being deployed to."
	}
	if _, err := m.State.Step(registry.CauseDeploy); err != nil {
		return sentence(err)
	}
	return ""
}

// current shows the deployment that is under way, and one that went wrong last.
func (u *UI) current(ctx context.Context, v *machineView, m registry.Machine, now time.Time) error {
	if m.Deployment == "" {
		return nil
	}
	d, err := u.Deployments.Deployment(ctx, m.Deployment)
	if status, _ := refusal(err); status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if !d.State.Ended() || d.State != registry.DeploymentSucceeded && m.State == registry.Failed {
		view := viewOf(d, m, now)
		v.Now = &view
	}
	return nil
}

// timeline is a machine's events, the newest first, with the time between them.
func (u *UI) timeline(ctx context.Context, m registry.Machine, limit int, now time.Time) (steps []step, err error) {
	events, err := u.Records.Timeline(ctx, m.ID, 0, limit+1)
	for i, e := range events {
		if i == limit {
			break
		}
		s := step{At: moment{e.At, now}, Clock: moment{e.At, now}.clock(), Kind: e.Kind, Message: e.Message, Tone: toneOf(e.Kind)}
		if i+1 < len(events) {
			s.After = "+" + took(e.At.Sub(events[i+1].At))
		}
		steps = append(steps, s)
	}
	return steps, err
}

// toneOf is how an event is to be taken. Its words say the same.
func toneOf(k registry.Kind) string {
	switch k {
	case registry.MachineFailed, kindOf(registry.DeploymentFailed), kindOf(registry.DeploymentTimedOut):
		return "bad"
	case registry.MachineStalled, registry.MachineHardware, registry.DeploymentWriting, kindOf(registry.DeploymentCancelled):
		return "warn"
	case registry.MachineRegistered, kindOf(registry.DeploymentSucceeded):
		return "good"
	}
	return ""
}

// kindOf is the kind of the event of a deployment that came to a state.
func kindOf(s registry.DeploymentState) registry.Kind { return registry.Kind("deployment." + s) }

// changes are what differed between registrations, the newest first.
func (u *UI) changes(ctx context.Context, m registry.Machine, now time.Time) (all []change, err error) {
	history, err := u.Records.History(ctx, m.ID, shownHistory)
	for i, record := range history {
		c := change{At: moment{record.At, now}}
		if i+1 == len(history) {
			c.Lines = []string{"the oldest that is kept"}
		} else {
			for _, d := range registry.Diff(history[i+1].Hardware, record.Hardware) {
				c.Lines = append(c.Lines, d.String())
			}
		}
		all = append(all, c)
	}
	return all, err
}

// deploymentsOf are those of a machine, the newest first.
func (u *UI) deploymentsOf(ctx context.Context, m registry.Machine, now time.Time) (all []deploymentView, err error) {
	found, err := u.Deployments.Deployments(ctx, registry.DeploymentQuery{Machines: []string{m.ID}, Limit: shownDeployments})
	for _, d := range found {
		all = append(all, viewOf(d, m, now))
	}
	return all, err
}

// factsOf is what there is to know of a machine at a glance.
func factsOf(m registry.Machine) []factGroup {
	h := m.Hardware
	identity := []labelled{{"ID", m.ID, true}, {"Vendor", h.System.Vendor, false}, {"Product", h.System.Product, false}, {"Serial", h.System.Serial, true},
		{"UUID", h.System.UUID, true}, {"Virtual", h.System.Virtualisation, false},
		{"Firmware", words(strings.ToUpper(h.Firmware.Mode), h.Firmware.Vendor, h.Firmware.Version, h.Firmware.Date), false}}
	size := []labelled{{"CPU", words(cpuName(h.CPU), h.CPU.Arch), false}, {"Cores and memory", cpuSize(h), false}}
	for _, d := range h.Disks {
		size = append(size, labelled{"Disk " + d.Name, words(decimalSize(d.Bytes), d.Model) + ": " + d.Describe(h.OSFound), false})
	}
	network := []labelled{{"Address", addressOf(m), true}, {"Hostname", m.Hostname, true}}
	for _, mac := range m.MACs {
		network = append(network, labelled{"Hardware address", mac.String(), true})
	}
	if h.BMC != nil && h.BMC.Address.IsValid() {
		network = append(network, labelled{"BMC", h.BMC.Address.String(), true})
	}
	return known([]factGroup{{"Identity", identity}, {"Size", size}, {"Network", network}, {"Kept by you", keptOfMachine(m)}})
}

func addressOf(m registry.Machine) string {
	if m.Address.IsValid() {
		return m.Address.String()
	}
	return ""
}

// words are those that say something, with a space between them.
func words(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), " ")
}

// lock keeps a machine from whatever destroys.
func (u *UI) lock(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	before, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	after, err := u.Orders.Lock(r.Context(), before.ID, strings.TrimSpace(r.PostFormValue("note")))
	if err == nil {
		changed(w, r, before, after, "locked")
	}
	return err
}

// unlock ends a lock; an admin may end that of somebody else.
func (u *UI) unlock(w http.ResponseWriter, r *http.Request) error {
	force := registry.Role(registry.ActorOf(r.Context()).Role).Includes(registry.Admin)
	before, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	after, err := u.Orders.Unlock(r.Context(), before.ID, force)
	if err == nil {
		changed(w, r, before, after, "unlocked")
	}
	return err
}

// tabPath is the address of a part of a machine's page.
func tabPath(id, tab string) string {
	if tab == "" {
		return "/machines/" + id
	}
	return "/machines/" + id + "?tab=" + tab
}
