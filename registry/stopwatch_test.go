package registry

import (
	"fmt"
	"testing"
	"time"
)

// Each step is a look at the deadlines, at a time of day and of the process, which
// part where the clock is set.
func TestStopwatch(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	type look struct {
		day, running time.Duration // since noon, and since the start
		deadline     time.Duration // of the one machine, since noon; 0: none
		hold         bool
		over         bool
	}
	const m = time.Minute
	for name, looks := range map[string][]look{
		"a deadline passes": {{0, 0, 30 * m, false, false}, {29 * m, 29 * m, 30 * m, false, false}, {30 * m, 30 * m, 30 * m, false, true}},
		"it is over until it is gone": {{0, 0, 10 * m, false, false}, {11 * m, 11 * m, 10 * m, false, true}, {12 * m, 12 * m, 10 * m, false, true},
			{13 * m, 13 * m, 0, false, false}},
		"it is moved":                   {{0, 0, 10 * m, false, false}, {9 * m, 9 * m, 40 * m, false, false}, {39 * m, 39 * m, 40 * m, false, false}, {40 * m, 40 * m, 40 * m, false, true}},
		"it passed while nobody looked": {{60 * m, 0, 10 * m, false, false}, {64 * m, 4 * m, 10 * m, false, false}, {65 * m, 5 * m, 10 * m, false, true}},
		"the clock jumps ahead":         {{0, 0, 30 * m, false, false}, {500 * m, 1 * m, 30 * m, false, false}, {528 * m, 29 * m, 30 * m, false, false}, {529 * m, 30 * m, 30 * m, false, true}},
		"the clock jumps back":          {{0, 0, 30 * m, false, false}, {-500 * m, 1 * m, 30 * m, false, false}, {-471 * m, 30 * m, 30 * m, false, true}},
		"machines cannot report": {{0, 0, 30 * m, false, false}, {40 * m, 40 * m, 30 * m, true, false}, {44 * m, 44 * m, 30 * m, false, false},
			{45 * m, 45 * m, 30 * m, false, true}},
	} {
		watch := stopwatch{}
		for i, l := range looks {
			deadlines := map[string]time.Time{}
			if l.deadline != 0 {
				deadlines["m-1"] = noon.Add(l.deadline)
			}
			if over := watch.passed(deadlines, noon.Add(l.day), l.running, l.hold); (len(over) == 1) != l.over {
				t.Errorf("%s, look %d: over %v, want %v", name, i, over, l.over)
			}
		}
	}
}

func TestBootsThatStandStill(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	step := func(seq int64, stage Stage) Event {
		return Event{Seq: seq, At: now, Kind: MachineBoot, Machine: "m-1", Message: string(stage) + ": x"}
	}
	other := func(kind Kind) Event { return Event{At: now, Kind: kind, Machine: "m-1"} }
	old := step(9, StageKernel)
	old.At = now.Add(-time.Hour)
	for _, tt := range []struct {
		name   string
		state  State
		events []Event
		want   string // the number of the step that it stands at, and its stage
	}{
		{"an offer is no boot", Discovered, []Event{step(1, StageDHCP), step(2, StageProgram)}, ""},
		{"no kernel", Discovered, []Event{step(1, StageScript)}, "1 script"},
		{"a known machine is told to boot its disk", Ready, []Event{step(1, StageScript)}, ""},
		{"a known machine boots the agent", Ready, []Event{step(1, StageScript), step(2, StageKernel)}, "2 kernel"},
		{"further", Discovered, []Event{step(1, StageScript), step(2, StageKernel), step(3, StageInitrd)}, "2 kernel"},
		{"over and over", Discovered, []Event{step(1, StageScript), step(2, StageKernel), step(3, StageScript), step(4, StageKernel)}, "2 kernel"},
		{"registered", Discovered, []Event{step(1, StageKernel), other(MachineRegistered)}, ""},
		{"and booted again", Ready, []Event{step(1, StageKernel), other(MachineRegistered), step(2, StageKernel)}, "2 kernel"},
		{"said already", Discovered, []Event{step(1, StageKernel), other(MachineStalled)}, ""},
		{"deleted", Discovered, []Event{step(1, StageKernel), other(MachineDeleted)}, ""},
		{"long ago", Discovered, []Event{old}, ""},
		{"a step of nobody", "", []Event{{Seq: 1, At: now, Kind: MachineBoot, Message: "kernel: x"}}, ""},
	} {
		b := boots{by: map[string]boot{}}
		b.note(tt.events, now, time.Minute, func(string) bool { return tt.state == Discovered })
		if early := b.stalled(time.Minute + stalledAfter - 1); len(early) != 0 {
			t.Errorf("%s: too early", tt.name)
		}
		got := ""
		for _, stands := range b.stalled(time.Minute + stalledAfter) {
			got = fmt.Sprint(stands.step.Seq, " ", stands.stage)
		}
		if got != tt.want || len(b.stalled(time.Hour)) != 0 {
			t.Errorf("%s: stands at %q, want %q, once", tt.name, got, tt.want)
		}
	}
}
