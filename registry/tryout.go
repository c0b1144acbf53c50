package registry

import (
	"context"
	"maps"
	"slices"
)

// maxTried bounds how many machines rules are tried on at once.
const maxTried = 2000

// MaxTrials bounds how many of them are told of.
const MaxTrials = 50

// RulesTryout is what rules would make of the machines that there are.
type RulesTryout struct {
	Looked  int            // at so many machines, in the order of their names
	More    bool           // there are more machines than that
	Applies map[string]int // to how many each rule applies, by its name
	Trials  []MachineTrial // of the first machines that a rule applies to
}

// MachineTrial is what rules would make of one machine.
type MachineTrial struct {
	ID, Name string
	Rules    []string      // that apply
	Changes  []FieldChange // from what it is
}

// TryRules tells what rules would make of the machines that there are, if each
// registered now for the first time. Nothing is changed: machines that have registered
// keep what they have. Where about names a rule, only machines that it applies to are
// told of. It errs with [*InvalidError] or [ErrUnavailable].
func (r *Registry) TryRules(ctx context.Context, rules []Rule, about string) (found RulesTryout, err error) {
	set := RuleSet{Rules: rules}
	if err := set.Validate(); err != nil {
		return found, err
	}
	machines, err := r.Machines(ctx, Query{Limit: maxTried + 1, Now: r.now()})
	if err != nil {
		return found, err
	}
	found.More, found.Applies = len(machines) > maxTried, map[string]int{}
	machines = machines[:min(len(machines), maxTried)]
	found.Looked = len(machines)
	for _, m := range machines {
		trial := r.tryOn(set, m)
		for _, rule := range trial.Rules {
			found.Applies[rule]++
		}
		if told := about == "" && len(trial.Rules) > 0 || slices.Contains(trial.Rules, about); told && len(found.Trials) < MaxTrials {
			found.Trials = append(found.Trials, trial)
		}
	}
	return found, nil
}

// tryOn is what a set would make of a machine, beside what it is.
func (r *Registry) tryOn(set RuleSet, m Machine) MachineTrial {
	trial, named := r.try(set, m)
	t := MachineTrial{ID: m.ID, Name: m.Name}
	for _, verdict := range trial.Verdicts {
		if verdict.Applies {
			t.Rules = append(t.Rules, verdict.Rule)
		}
	}
	if named {
		t.note("name", m.Name, trial.Machine.Name)
	}
	t.note("owner", m.Owner, trial.Machine.Owner)
	t.note("operating system", m.OS, trial.Machine.OS)
	if trial.deploys != nil {
		t.note("deployment", "", "install "+trial.Machine.OS+" "+trial.deploys.Set.when()+", if its disk is blank")
	}
	for _, tag := range trial.Machine.Tags {
		if !slices.Contains(m.Tags, tag) {
			t.note("tag", "", tag)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(trial.Machine.Labels)) {
		t.note("label "+key, m.Labels[key], trial.Machine.Labels[key])
	}
	return t
}

// note is a field that would be another one. What rules say nothing of stays.
func (t *MachineTrial) note(field, before, after string) {
	if after != "" && before != after {
		t.Changes = append(t.Changes, FieldChange{Field: field, Before: before, After: after})
	}
}
