package api

import (
	"time"

	"dragonfly/registry"
)

// Deployment is a deployment on the wire.
type Deployment struct {
	ID          string                   `json:"id" doc:"never reused" example:"d-4k2j7q3mzt5a"`
	Machine     string                   `json:"machine" doc:"ID" example:"m-7f3a9c2e1b4d"`
	MachineName string                   `json:"machine_name,omitempty" example:"brave-otter"`
	Kind        registry.DeploymentKind  `json:"kind" enum:"install,wipe,rescue,memtest,iso,script"`
	OS          string                   `json:"os,omitempty" doc:"ID in the catalogue" example:"debian-12"`
	Engine      registry.Engine          `json:"engine" enum:"builtin,tinkerbell" doc:"what carries it out"`
	State       registry.DeploymentState `json:"state" enum:"pending,waiting,running,verifying,succeeded,failed,cancelled,timed_out"`
	Reason      string                   `json:"reason,omitempty" doc:"why it ended without success, and what is on the disk; before it has begun, what it waits for"`
	Batch       string                   `json:"batch,omitempty" doc:"of those that were asked for together"`
	Concurrency int                      `json:"concurrency,omitempty" doc:"how many of the batch are under way at once"`
	Disk        registry.DeploymentDisk  `json:"disk,omitzero"`
	Hostname    string                   `json:"hostname,omitempty" doc:"of the installed system" example:"brave-otter"`
	Actions     []DeploymentAction       `json:"actions" doc:"in their order"`
	Action      int                      `json:"action" doc:"index of the one that runs, or runs next"`
	Attempt     int                      `json:"attempt,omitempty" doc:"how many boots of the machine took it up"`
	Wrote       bool                     `json:"wrote,omitempty" doc:"the disk is not what it was"`
	WroteAt     time.Time                `json:"wrote_at,omitzero" doc:"since then"`
	Progress    *DeploymentProgress      `json:"progress,omitempty" doc:"while it runs"`
	Image       *AwaitedImage            `json:"awaited_image,omitempty" doc:"while it is pending, since its image is fetched first"`
	By          string                   `json:"by,omitempty" doc:"who asked for it" example:"ana"`
	CreatedAt   time.Time                `json:"created_at"`
	StartedAt   time.Time                `json:"started_at,omitzero" doc:"when an agent took it up first"`
	StateAt     time.Time                `json:"state_at" doc:"when it came to its state"`
	EndedAt     time.Time                `json:"ended_at,omitzero"`
	Deadline    time.Time                `json:"deadline,omitzero" doc:"when its state ends by itself"`
	Version     int64                    `json:"version,omitempty" doc:"of this record; 0 in a plan"`
}

// DeploymentAction is one action of a deployment, and what became of it.
type DeploymentAction struct {
	Name      string               `json:"name" example:"write image"`
	Image     string               `json:"image" doc:"its last element names the action"`
	Timeout   int64                `json:"timeout_seconds"`
	State     registry.ActionState `json:"state" enum:"pending,running,succeeded,failed"`
	Message   string               `json:"message,omitempty" doc:"how it ended"`
	StartedAt time.Time            `json:"started_at,omitzero"`
	EndedAt   time.Time            `json:"ended_at,omitzero"`
	Expected  float64              `json:"expected_seconds,omitempty" doc:"what it took before, on such machines where there were any"`
}

// AwaitedImage is an image that a deployment waits for.
type AwaitedImage struct {
	Title string             `json:"title,omitempty" example:"Debian 12 (bookworm)"`
	URL   string             `json:"url" doc:"where it comes from"`
	Line  string             `json:"line,omitempty" doc:"how far it is, for people" example:"fetching, 41 %, 12 MiB/s"`
	Job   *registry.ImageJob `json:"job,omitempty" doc:"the work on it on this server; left out where none has begun"`
}

// DeploymentProgress is how far a deployment is.
type DeploymentProgress struct {
	registry.Progress
	Percent float64   `json:"percent" doc:"of all actions together" example:"42.5"`
	Left    float64   `json:"left_seconds,omitempty" doc:"until the last of them has ended; left out where nobody knows"`
	At      time.Time `json:"at,omitzero" doc:"when the agent said so"`
}

// ProgressKind is the kind of the server-sent events that are a [ProgressEvent].
const ProgressKind = "deployment.progress"

// ProgressEvent is the data of a server-sent event that says how far a deployment is.
type ProgressEvent struct {
	Deployment string `json:"deployment"`
	Machine    string `json:"machine"`
	Action     int    `json:"action" doc:"index of the one that runs"`
	DeploymentProgress
}

// DeployReply is a deployment that was begun or, for a dry run, what would be done.
type DeployReply struct {
	DryRun     bool        `json:"dry_run,omitempty" doc:"nothing was changed"`
	Deployment Deployment  `json:"deployment"`
	Plan       *DeployPlan `json:"plan,omitempty" doc:"of a dry run"`
}

// DeployPlan is what a deployment would do. It has secrets: what the machine is given
// at its first boot.
type DeployPlan struct {
	Template string                  `json:"template" doc:"the text that the template gives for this machine"`
	Actions  []registry.RecipeAction `json:"actions"`
	Passed   []PassedDisk            `json:"passed,omitempty" doc:"the disks that were not chosen"`
	Hold     string                  `json:"hold,omitempty" doc:"why the loss of what is on the disk has to be confirmed"`
	Notes    []string                `json:"notes,omitempty" doc:"worth knowing"`
	Problems []Error                 `json:"problems,omitempty" doc:"what the request would be refused for"`
}

// PassedDisk is a disk that was not chosen.
type PassedDisk struct {
	Disk   registry.Disk `json:"disk"`
	Reason string        `json:"reason"`
}

func (s *Server) deployment(d registry.Deployment) Deployment {
	out := Deployment{ID: d.ID, Machine: d.Machine, Kind: d.Kind, OS: d.OS, Engine: d.Engine, State: d.State, Reason: d.Reason,
		Batch: d.Batch, Concurrency: d.Limit, Disk: d.Disk, Hostname: d.Hostname, Actions: make([]DeploymentAction, 0, len(d.Actions)), Action: d.Action,
		Attempt: d.Attempt, Wrote: d.Wrote, WroteAt: d.WroteAt, By: d.By, CreatedAt: d.CreatedAt, StartedAt: d.StartedAt, StateAt: d.StateAt,
		EndedAt: d.EndedAt, Deadline: d.Deadline, Version: d.Version}
	for _, m := range s.registry.Glances(d.Machine) {
		out.MachineName = m.Name
	}
	for _, a := range d.Actions {
		out.Actions = append(out.Actions, DeploymentAction{Name: a.Name, Image: a.Image, Timeout: int64(a.Timeout.Seconds()), State: a.State,
			Message: a.Message, StartedAt: a.StartedAt, EndedAt: a.EndedAt, Expected: a.Expected.Seconds()})
	}
	if d.State == registry.DeploymentPending && d.Image.URL != "" {
		out.Image = &AwaitedImage{Title: d.Image.Title, URL: d.Image.URL, Job: d.Fetch}
		if d.Fetch != nil {
			out.Image.Line = d.Fetch.Line()
		}
	}
	if d.State == registry.DeploymentRunning {
		progress := s.progress(d)
		out.Progress = &progress
	}
	return out
}

// progress is how far a deployment is that runs.
func (s *Server) progress(d registry.Deployment) DeploymentProgress {
	outlook := d.Outlook(s.now())
	return DeploymentProgress{Progress: d.Track.Progress, Percent: outlook.Percent, Left: outlook.Left.Seconds(), At: d.Track.At}
}

func (s *Server) deployReply(p registry.DeployPlan, dryRun bool) DeployReply {
	out := DeployReply{Deployment: s.deployment(p.Deployment)}
	if !dryRun {
		return out
	}
	out.DryRun = true
	out.Plan = &DeployPlan{Template: p.Recipe.Text, Actions: append([]registry.RecipeAction{}, p.Recipe.Actions...), Hold: p.Hold, Notes: p.Notes}
	for _, d := range p.Passed {
		out.Plan.Passed = append(out.Plan.Passed, PassedDisk{d.Disk, d.Reason})
	}
	for _, problem := range p.Problems {
		out.Plan.Problems = append(out.Plan.Problems, *errorOf(s.problem(problem)))
	}
	return out
}
