package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Worker is who asks for work by the protocol of Tink server, which has no tokens: its
// ID is what it says, and its address is where the answer goes.
type Worker struct {
	ID   string // a hardware address of the machine, or its ID
	Addr netip.Addr
}

// ErrNoWork is what every worker is told that is not given anything: nobody learns
// from it which machines there are.
var ErrNoWork = errors.New("there is no work for this worker")

// StrangerError is the [ErrNoWork] of one that asked for the work of a machine which it
// is not, as far as its address tells.
type StrangerError struct {
	Machine string // its name
	MAC     MAC    // that its timeline goes by
	Why     string
}

func (e *StrangerError) Error() string { return "it is not " + e.Machine + ": " + e.Why }

// Unwrap is [ErrNoWork].
func (e *StrangerError) Unwrap() error { return ErrNoWork }

// startedOver is how long an action has to run before a question says that the worker
// has started over, and is no question from before that was late.
const startedOver = 5 * time.Second

// ClaimByWorker is [Registry.ClaimByAgent] for a worker. What is to be done next is the
// action of the deployment. The worker has to be the machine, by its address: the card
// there is one of the machine's; where nobody sees the card, since a router is in
// between, it is the address that the machine registered from.
//
// A worker asks between two actions. One that asks while an action runs has started
// over: that is another boot. It errs with [ErrNoWork], [*StrangerError],
// [*RefusalError] or [ErrUnavailable].
func (r *Registry) ClaimByWorker(ctx context.Context, w Worker) (Deployment, Recipe, error) {
	asked := r.now()
	if err := r.writable(); err != nil { // the same for everybody
		return Deployment{}, Recipe{}, err
	}
	id, known := r.workerMachine(w.ID)
	if !known || r.index.bootsNext(id) != BootAgent {
		return Deployment{}, Recipe{}, ErrNoWork
	}
	return r.claim(ctx, id, func(t *turn) (AgentBoot, error) {
		if err := t.d.forWorkers(); err != nil {
			return AgentBoot{}, err
		}
		if why := r.notAt(t.m, w.Addr); why != "" {
			return AgentBoot{}, &StrangerError{t.m.Name, t.m.BootMAC(), why}
		}
		boot, err := t.d.workerBoot(w.Addr, asked)
		if err == nil {
			t.m.AgentBoot = boot.Token // no boot before it takes up what this one does
		}
		return boot, err
	})
}

// workerMachine is the ID of the machine that a worker names.
func (r *Registry) workerMachine(worker string) (id string, known bool) {
	if strings.HasPrefix(worker, "m-") {
		return worker, true
	}
	mac, err := ParseMAC(worker)
	if err != nil {
		return "", false
	}
	entry, known := r.Lookup(mac)
	return entry.ID, known
}

// forWorkers is [ErrNoWork] where d is nothing that a worker carries out.
func (d Deployment) forWorkers() error {
	under := d.State == DeploymentWaiting || d.State == DeploymentRunning && workerAddr(d.Boot) != ""
	if !under || d.isOf(EngineBuiltin) != nil || d.Kind != KindInstall && d.Kind != KindWipe {
		return ErrNoWork
	}
	return nil
}

// notAt is why m is not what has an address; empty where it is.
func (r *Registry) notAt(m Machine, addr netip.Addr) string {
	card := MAC{}
	if r.tools.Card != nil {
		card = r.tools.Card(addr)
	}
	switch {
	case addr.Zone() != "":
		return fmt.Sprintf("%s may be somebody else's on another link", addr)
	case card != (MAC{}) && slices.Contains(m.MACs, card):
		return ""
	case card != (MAC{}):
		return fmt.Sprintf("the card at %s is %s, which is none of the machine's", addr, card)
	case !m.Address.IsValid():
		return fmt.Sprintf("nobody sees the card at %s, and the machine never registered", addr)
	case m.Address != addr:
		return fmt.Sprintf("nobody sees the card at %s, and the machine registered from %s; boot it once with the agent of Dragonfly where its address is another one now", addr, m.Address)
	}
	return ""
}

// workerBoot is the boot that a worker at an address asks from.
func (d Deployment) workerBoot(addr netip.Addr, asked time.Time) (AgentBoot, error) {
	if d.State == DeploymentRunning && workerAddr(d.Boot) == addr.String() && d.Action < len(d.Actions) {
		switch a := d.Actions[d.Action]; {
		case a.State == ActionPending:
			return AgentBoot{Token: d.Boot, ID: d.BootID}, nil
		case asked.Before(a.StartedAt.Add(startedOver)):
			return AgentBoot{}, &RefusalError{fmt.Sprintf("action %q has just begun", a.Name)}
		}
	}
	nonce := strings.ToLower(rand.Text())
	return AgentBoot{Token: workerToken(addr, nonce), ID: nonce}, nil
}

// A worker has no token, so its boot has a name of ours: no token of an agent has a
// slash.
const workerPrefix = "tink/"

func workerToken(addr netip.Addr, nonce string) string {
	return workerPrefix + addr.String() + "/" + nonce
}

// workerAddr is the address of the worker that a boot is of; empty for an agent's.
func workerAddr(boot string) string {
	rest, is := strings.CutPrefix(boot, workerPrefix)
	addr, _, _ := strings.Cut(rest, "/")
	if !is {
		return ""
	}
	return addr
}

// ReportByWorker is [Registry.Report] for a worker. The Boot of the report is the
// [Deployment.BootID] that it was given with the action, which says with the worker's
// address that the action is its own. How an action ended may be told any number of
// times; that one begins which has ended is refused, lest it be done twice. It errs
// with [ErrNoWork] where the action is not the worker's, [*InvalidError],
// [*RefusalError] where the worker is to stop, or [ErrUnavailable].
func (r *Registry) ReportByWorker(ctx context.Context, w Worker, report ActionReport) error {
	if err := r.writable(); err != nil {
		return err
	}
	d, err := r.loadDeployment(ctx, report.Deployment)
	report.Boot = workerToken(w.Addr, report.Boot)
	machine, _ := r.workerMachine(w.ID)
	foreign := d.Boot != report.Boot || d.Attempt != report.Attempt || d.Machine != machine || report.Action < 0 || report.Action >= len(d.Actions)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && foreign:
		return ErrNoWork
	case err != nil:
		return err
	case report.State != ActionRunning && d.Actions[report.Action].State == report.State:
		return nil // heard before, and the answer got lost
	case report.State == ActionRunning && report.Action < d.Action:
		return &RefusalError{fmt.Sprintf("action %q has ended", d.Actions[report.Action].Name)}
	}
	// Nobody but the action knows when it writes. What was not begun wrote nothing.
	report.Wrote = d.Disk != DeploymentDisk{} && report.State != ActionFailed
	cancel, err := r.Report(ctx, d.Machine, report)
	if cancel != "" {
		return &RefusalError{cancel}
	}
	return err
}
