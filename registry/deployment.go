package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Deployment is one run of putting one operating system on one machine, with what
// became of it. Its plan is frozen when it is made: a template, a rule or a
// catalogue that changes later changes nothing of it.
type Deployment struct {
	ID        string          `json:"id"` // "d-" and 12 characters, never reused
	Machine   string          `json:"-"`  // ID
	Kind      DeploymentKind  `json:"kind"`
	OS        string          `json:"os,omitempty"`         // ID; empty where none is installed
	FirstBoot FirstBoot       `json:"first_boot,omitempty"` // of the operating system: how it is known to have started
	Engine    Engine          `json:"engine"`
	OSIE      OSIE            `json:"osie,omitempty"` // where the machine carries it out for Tinkerbell; empty: that of this installation
	State     DeploymentState `json:"state"`
	Reason    string          `json:"reason,omitempty"` // why it ended without success, with the evidence; before it has begun, what it waits for
	Batch     string          `json:"batch,omitempty"`  // of deployments that were asked for together; empty: alone
	Limit     int             `json:"limit,omitempty"`  // of the batch, how many are under way at once
	Limits    DeployLimits    `json:"limits,omitzero"`

	Disk     DeploymentDisk `json:"disk,omitzero"` // what is written; zero where no disk is
	Hostname string         `json:"hostname,omitempty"`
	Model    string         `json:"model,omitempty"` // of the machine: what past runs are compared by
	Actions  []ActionRun    `json:"actions"`
	Action   int            `json:"action"`           // index of the action that runs, or runs next
	Sealed   string         `json:"sealed"`           // the [Recipe], which has secrets
	Image    ImageSource    `json:"image,omitzero"`   // what is fetched before it begins; zero: nothing is missing
	Stored   string         `json:"stored,omitempty"` // path of the image in the store of a server that the machine fetches; empty: none
	Fetch    *ImageJob      `json:"-"`                // the work on Image on this server; nil: none is known

	Attempt int       `json:"attempt,omitempty"` // how many boots of the machine took it up
	BootID  string    `json:"boot_id,omitempty"` // of the boot that carries it out, as its kernel calls it
	Boot    string    `json:"boot,omitempty"`    // the same, as its token calls it, see [AgentBoot]; or the key of a [BootOrder]
	Wrote   bool      `json:"wrote,omitempty"`   // the disk is not what it was
	WroteAt time.Time `json:"wrote_at,omitzero"` // since then

	Was       State     `json:"was"` // of the machine, before
	WasReason string    `json:"was_reason,omitempty"`
	By        string    `json:"by,omitempty"` // who asked for it
	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"` // when an agent took it up first, or iPXE was given it
	StateAt   time.Time `json:"state_at"`            // when it came to its state
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"` // when its state ends by itself; zero for one that lasts
	Version   int64     `json:"-"`                 // of this record, as that of [Machine]
	Track     Track     `json:"-"`                 // how far it is, as far as it was written down
}

// Recipe is what an agent carries out, frozen. It has secrets: keys, passwords,
// tokens in user data.
type Recipe struct {
	Template   string            `json:"template,omitempty"` // what Text is made of once more, when its image is there
	Text       string            `json:"text"`               // the rendered template
	Actions    []RecipeAction    `json:"actions"`
	Parameters map[string]string `json:"parameters"` // it was rendered with
	Request    DeployRequest     `json:"request"`    // what was asked for, to be asked for again
}

// RecipeAction is one step of a [Recipe].
type RecipeAction struct {
	Name        string            `json:"name"`
	Image       string            `json:"image" doc:"its last element names the action" example:"quay.io/tinkerbell/actions/image2disk:latest"`
	Command     []string          `json:"command,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	Timeout     int64             `json:"timeout_seconds" doc:"it fails after that"`
	Volumes     []string          `json:"volumes,omitempty" doc:"of the host, for what runs actions as containers; the agent does not" example:"[\"/dev:/dev\"]"`
	PID         string            `json:"pid,omitempty" doc:"the same: \"host\" shares the process IDs"`
	Network     string            `json:"network,omitempty" doc:"the same: \"host\" shares the network"`
}

// ActionRun is what became of one action.
type ActionRun struct {
	Name      string        `json:"name"`
	Image     string        `json:"image"`
	Timeout   time.Duration `json:"timeout"`
	State     ActionState   `json:"state"`
	Message   string        `json:"message,omitempty"` // how it ended
	StartedAt time.Time     `json:"started_at,omitzero"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Expected  time.Duration `json:"expected,omitempty"` // from past runs; 0: not known
}

// ActionState is where an action stands.
type ActionState string

// The states of an action.
const (
	ActionPending   ActionState = "pending"
	ActionRunning   ActionState = "running"
	ActionSucceeded ActionState = "succeeded"
	ActionFailed    ActionState = "failed"
)

// DeploymentDisk is the disk that a deployment writes, as it was when it was
// chosen. An agent that finds another one in its place touches nothing.
type DeploymentDisk struct {
	ByID   string `json:"by_id,omitempty" doc:"path below /dev/disk/by-id"`
	Name   string `json:"name,omitempty" doc:"what the kernel called it" example:"nvme0n1"`
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	WWN    string `json:"wwn,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Found  string `json:"found,omitempty" doc:"what was on it" example:"Debian GNU/Linux 12"`
	Left   string `json:"left,omitempty" doc:"the deployment that had written it in part"`
	Why    string `json:"why,omitempty" doc:"why this one was chosen"`
}

// DeploymentKind is what a deployment is for.
type DeploymentKind string

// The kinds of deployments.
const (
	KindInstall DeploymentKind = "install" // an operating system
	KindWipe    DeploymentKind = "wipe"    // leaves the disk empty
	KindRescue  DeploymentKind = "rescue"  // lets an operator into the agent by SSH
	KindMemtest DeploymentKind = "memtest" // boots memtest86+
	KindISO     DeploymentKind = "iso"     // boots an ISO over the network
	KindScript  DeploymentKind = "script"  // has iPXE run the operator's own script
)

// DeploymentState is where a deployment stands.
type DeploymentState string

// The states of a deployment, in the order it passes through them.
const (
	DeploymentPending   DeploymentState = "pending"   // others of its batch come first, or its image is fetched; the machine is as it was
	DeploymentWaiting   DeploymentState = "waiting"   // for the machine to boot, or its waiting agent to take it
	DeploymentRunning   DeploymentState = "running"   // an agent carries it out, or iPXE was given it
	DeploymentVerifying DeploymentState = "verifying" // for the first boot of what was installed
	DeploymentSucceeded DeploymentState = "succeeded"
	DeploymentFailed    DeploymentState = "failed"
	DeploymentCancelled DeploymentState = "cancelled"
	DeploymentTimedOut  DeploymentState = "timed_out"
)

// DeploymentStates lists every state in its order.
func DeploymentStates() []DeploymentState {
	return []DeploymentState{DeploymentPending, DeploymentWaiting, DeploymentRunning, DeploymentVerifying,
		DeploymentSucceeded, DeploymentFailed, DeploymentCancelled, DeploymentTimedOut}
}

// Ended reports whether nothing happens any more.
func (s DeploymentState) Ended() bool {
	return slices.Index(DeploymentStates(), s) >= slices.Index(DeploymentStates(), DeploymentSucceeded)
}

// DeploymentCause is what asks for a change of a deployment's state.
type DeploymentCause string

// The causes of a change of a deployment's state.
const (
	DeployStart  DeploymentCause = "start"  // it is its turn
	DeployClaim  DeploymentCause = "claim"  // an agent takes it up, or takes it up again
	DeployFinish DeploymentCause = "finish" // every action succeeded, and what was installed has yet to start
	DeployEnd    DeploymentCause = "end"    // every action succeeded, and that is all
	DeployVerify DeploymentCause = "verify" // what was installed has started
	DeployFail   DeploymentCause = "fail"
	DeployCancel DeploymentCause = "cancel"
	DeployExpire DeploymentCause = "expire" // its deadline passed
)

// deploymentSteps is the one table of what may happen to a deployment.
var deploymentSteps = [...]struct {
	from  DeploymentState
	cause DeploymentCause
	to    DeploymentState
}{
	{DeploymentPending, DeployStart, DeploymentWaiting},
	{DeploymentPending, DeployFail, DeploymentFailed},
	{DeploymentPending, DeployCancel, DeploymentCancelled},
	{DeploymentPending, DeployExpire, DeploymentTimedOut},
	{DeploymentWaiting, DeployClaim, DeploymentRunning},
	{DeploymentWaiting, DeployEnd, DeploymentSucceeded},
	{DeploymentWaiting, DeployFail, DeploymentFailed},
	{DeploymentWaiting, DeployCancel, DeploymentCancelled},
	{DeploymentWaiting, DeployExpire, DeploymentTimedOut},
	{DeploymentRunning, DeployClaim, DeploymentRunning},
	{DeploymentRunning, DeployFinish, DeploymentVerifying},
	{DeploymentRunning, DeployEnd, DeploymentSucceeded},
	{DeploymentRunning, DeployFail, DeploymentFailed},
	{DeploymentRunning, DeployCancel, DeploymentCancelled},
	{DeploymentRunning, DeployExpire, DeploymentTimedOut},
	{DeploymentVerifying, DeployVerify, DeploymentSucceeded},
	{DeploymentVerifying, DeployFail, DeploymentFailed},
	{DeploymentVerifying, DeployCancel, DeploymentCancelled},
	{DeploymentVerifying, DeployExpire, DeploymentTimedOut},
}

// Step is the state after cause, or a [*DeploymentError] when it may not be taken.
func (s DeploymentState) Step(cause DeploymentCause) (DeploymentState, error) {
	for _, step := range deploymentSteps {
		if step.from == s && step.cause == cause {
			return step.to, nil
		}
	}
	return s, &DeploymentError{From: s, Cause: cause}
}

// DeploymentError is a change of a deployment's state that the table does not allow.
type DeploymentError struct {
	From  DeploymentState
	Cause DeploymentCause
}

func (e *DeploymentError) Error() string {
	return fmt.Sprintf("a deployment that is %s may not %s", e.From, e.Cause)
}

// Progress is how far an action is, as its agent says. A part that is not known is
// zero.
type Progress struct {
	Stage string  `json:"stage,omitempty" maxLength:"64" doc:"what it does" example:"writing"`
	Done  int64   `json:"done,omitempty" minimum:"0" doc:"bytes, or whatever total counts"`
	Total int64   `json:"total,omitempty" minimum:"0"`
	Rate  float64 `json:"rate,omitempty" minimum:"0" doc:"per second"`
}

// Track is how far the agent says it is, and when it said so. It is written in
// batches, so it may lag.
type Track struct {
	Attempt  int       `json:"attempt,omitempty"`
	Action   int       `json:"action,omitempty"` // index
	At       time.Time `json:"at,omitzero"`
	Progress `json:"progress,omitzero"`
}

// DeploymentLine is a line of a deployment's log. Of each attempt the first 1,000
// lines and the newest 4,000 are kept: a number that is missing is a line that is
// not kept.
type DeploymentLine struct {
	Deployment string
	LinePosition
	At     time.Time
	Action int // index
	Text   string
}

// How much of the log of an attempt is kept.
const (
	FirstLines  = 1000
	NewestLines = 4000
)

// LinePosition is a place in a deployment's log. The zero value is before the first
// line.
type LinePosition struct {
	Attempt int // from 1
	N       int // from 0
}

// Compare is negative when p stands before o, and positive when behind.
func (p LinePosition) Compare(o LinePosition) int {
	return cmp.Or(cmp.Compare(p.Attempt, o.Attempt), cmp.Compare(p.N, o.N))
}

// DeploymentQuery selects deployments, the newest first. What is not set selects
// all.
type DeploymentQuery struct {
	IDs      []string
	Machines []string // IDs
	States   []DeploymentState
	OS       string
	Batch    string
	Oldest   bool               // the oldest first
	After    DeploymentPosition // only deployments behind it (keyset paging)
	Limit    int                // 0: all
}

// DeploymentPosition is a place in a list of deployments. The zero value is before
// the first.
type DeploymentPosition struct {
	CreatedAt time.Time
	ID        string
}

// Compare is negative when a stands before b in the order of q.
func (q DeploymentQuery) Compare(a, b DeploymentPosition) int {
	c := cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	if q.Oldest {
		return c
	}
	return -c
}

// Position is where d stands in a list.
func (d Deployment) Position() DeploymentPosition { return DeploymentPosition{d.CreatedAt, d.ID} }

// Rounded is d with its times as they are stored: in UTC, in whole milliseconds.
func (d Deployment) Rounded() Deployment {
	round := func(t *time.Time) {
		if *t = t.UTC().Truncate(time.Millisecond); t.IsZero() {
			*t = time.Time{}
		}
	}
	for _, t := range []*time.Time{&d.WroteAt, &d.CreatedAt, &d.StartedAt, &d.StateAt, &d.EndedAt, &d.Deadline} {
		round(t)
	}
	d.Actions = slices.Clone(d.Actions)
	for i := range d.Actions {
		round(&d.Actions[i].StartedAt)
		round(&d.Actions[i].EndedAt)
	}
	return d
}

// Match reports whether q selects d and d lies behind q.After. A store may search in
// another way, and must find the same.
func (q DeploymentQuery) Match(d Deployment) bool {
	return (len(q.IDs) == 0 || slices.Contains(q.IDs, d.ID)) &&
		(len(q.Machines) == 0 || slices.Contains(q.Machines, d.Machine)) &&
		(len(q.States) == 0 || slices.Contains(q.States, d.State)) &&
		(q.OS == "" || q.OS == d.OS) && (q.Batch == "" || q.Batch == d.Batch) &&
		(q.After == DeploymentPosition{} || q.Compare(d.Position(), q.After) > 0)
}

// DeployRequest is what is asked of [Registry.Deploy] for one machine.
type DeployRequest struct {
	Kind       DeploymentKind    `json:"kind,omitempty" enum:"install,wipe,rescue,memtest,iso,script" doc:"install where it is left out; rescue, memtest, iso and script boot once and write no disk"`
	OS         string            `json:"os,omitempty" maxLength:"64" doc:"ID in the catalogue; what is assigned to the machine where it is left out" example:"debian-12"`
	Engine     Engine            `json:"engine,omitempty" enum:"builtin,tinkerbell" doc:"what carries it out: builtin is the agent by itself, tinkerbell is Tinkerbell in Kubernetes; what the operating system or this installation says where it is left out"`
	Disk       string            `json:"disk,omitempty" maxLength:"256" doc:"rule that chooses the disk; the smallest that is large enough where it is left out" example:"serial:S4EVNX0R"`
	Confirm    string            `json:"confirm,omitempty" maxLength:"256" doc:"serial number or by-id path of the disk, where it holds what would be lost" example:"S4EVNX0R"`
	Erase      []string          `json:"erase,omitempty" maxItems:"64" doc:"disks that may be erased whatever they hold: serial numbers or by-id paths"`
	Blank      bool              `json:"blank,omitempty" doc:"refuse a disk on which anything was found"`
	Seed       Seed              `json:"seed,omitzero" doc:"what the installed system is given when it starts for the first time; it is called as the machine is where no hostname is given"`
	ISO        string            `json:"iso,omitempty" maxLength:"512" doc:"for the kind iso: where it is" example:"http://10.0.0.2/tool.iso"`
	Script     string            `json:"script,omitempty" maxLength:"32768" doc:"for the kind script: what iPXE runs; at its end the machine boots as usual" example:"#!ipxe\necho hello\n"`
	Parameters map[string]string `json:"parameters,omitempty" doc:"what the template asks for by these names"`
}
