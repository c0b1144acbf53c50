package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Unstored names the version of what is not stored yet, where [AnyVersion] is
// another thing.
const Unstored = -1

// Rules returns the rules on registration; while the store is away, those that are
// in force here.
func (r *Registry) Rules(ctx context.Context) (RuleSet, error) {
	if r.away() {
		return r.rules.get(), nil
	}
	set, err := r.store.Rules(ctx)
	if r.heard(ctx, err) != nil {
		return RuleSet{}, fmt.Errorf("load the rules: %w", err)
	}
	return set, nil
}

// SetRules replaces the rules on registration. Machines that have registered keep
// what they have. It errs with [*InvalidError], [ErrUnavailable], or a
// [*ConflictError] when version is not [AnyVersion] and not the one that is stored.
// Rules that are there already are not written again.
func (r *Registry) SetRules(ctx context.Context, version int64, rules []Rule) (RuleSet, error) {
	if err := (RuleSet{Rules: rules}).Validate(); err != nil {
		return RuleSet{}, err
	}
	if err := r.writable(); err != nil {
		return RuleSet{}, err
	}
	for range attempts {
		stored, err := r.Rules(ctx)
		if err != nil {
			return RuleSet{}, err
		}
		if version != AnyVersion && max(version, 0) != stored.Version {
			return RuleSet{}, &ConflictError{Object: "rules", Read: max(version, 0), Stored: stored.Version}
		}
		set, err := r.replaceRules(ctx, stored, rules)
		if _, lost := errors.AsType[*ConflictError](err); lost && version == AnyVersion {
			continue
		}
		return set, err
	}
	return RuleSet{}, &ConflictError{Object: "rules"}
}

// replaceRules writes rules over those that are stored.
func (r *Registry) replaceRules(ctx context.Context, stored RuleSet, rules []Rule) (RuleSet, error) {
	next := RuleSet{Version: stored.Version, Rules: rules}
	was, errWas := json.Marshal(stored.Rules)
	is, errIs := json.Marshal(rules)
	if err := errors.Join(errWas, errIs); err != nil {
		return RuleSet{}, err
	}
	if len(stored.Rules) == 0 && len(rules) == 0 || reflect.DeepEqual(was, is) {
		return stored, nil
	}
	if dryRun(ctx) {
		return next, nil
	}
	if stored.Version == 0 {
		was = nil // there was nothing before
	}
	actor, message := ActorOf(ctx), fmt.Sprintf("%s on registration, in place of %d", Counted(len(rules), "rule"), len(stored.Rules))
	if actor.Name != "" {
		message += ", by " + actor.Name
	}
	now := r.now()
	err := r.commit(ctx, Change{Op: newOp(), Rules: &next,
		Events: []Event{{At: now, Kind: RulesEdited, Message: message}},
		Audit:  []AuditEntry{{At: now, Actor: actor, Action: string(RulesEdited), Object: "rules", Before: was, After: is}}})
	if err != nil {
		return RuleSet{}, err
	}
	next.Version++
	r.enforce(next, false)
	return next, nil
}

// RuleTrial is what rules would make of a machine.
type RuleTrial struct {
	Version  int64 // of the rules that are stored; 0 where others were tried
	Verdicts []RuleVerdict
	Machine  Machine // as the rules would make it, had nobody said anything of it yet
	Changes  []string
	deploys  *Rule // would have its operating system installed; nil: none
}

// TestRules tells what rules would make of a machine if it registered now, for the
// first time, with the hardware that is known of it. Nothing is changed. rules are
// those in force where they are nil. It errs with [*InvalidError], [ErrNotFound] or
// [ErrUnavailable].
func (r *Registry) TestRules(ctx context.Context, id string, rules []Rule) (RuleTrial, error) {
	set := RuleSet{Rules: rules}
	if err := set.Validate(); err != nil {
		return RuleTrial{}, err
	}
	m, err := r.Machine(ctx, id)
	if err == nil && rules == nil {
		set, err = r.Rules(ctx)
	}
	if err != nil {
		return RuleTrial{}, err
	}
	trial, _ := r.try(set, m)
	return trial, nil
}

// try is what a set would make of a machine, and whether a rule names it.
func (r *Registry) try(set RuleSet, m Machine) (trial RuleTrial, named bool) {
	reg := Registration{MAC: m.BootMAC(), MACs: m.MACs, Hostname: m.Hostname, Address: m.Address, Hardware: m.Hardware}
	a := set.evaluate(reg)
	fresh := r.newMachine(m.ID, reg, m.CreatedAt, 0)
	defer r.index.release(m.ID)
	name := fresh.Name
	if named = a.name != (nameText{}); named {
		name = r.index.claim(m.ID, a.name, 0)
	}
	fresh, changes := a.apply(fresh, name)
	return RuleTrial{Version: set.Version, Verdicts: a.verdicts, Machine: fresh, Changes: changes, deploys: a.deploys}, named
}

// changesOfRules is what becomes of each rule, and of their order where it becomes
// another one but by what is taken away or added behind.
func changesOfRules(before, after []Rule) (changes []FieldChange) {
	was, is := ruleTexts(before), ruleTexts(after)
	var kept, order []string
	for _, rule := range before {
		if _, there := is[rule.Name]; there {
			kept = append(kept, rule.Name)
		} else {
			changes = append(changes, FieldChange{"rule " + rule.Name, was[rule.Name], ""})
		}
	}
	for _, rule := range after {
		order = append(order, rule.Name)
		if _, there := was[rule.Name]; !there {
			kept = append(kept, rule.Name)
		}
		if was[rule.Name] != is[rule.Name] {
			changes = append(changes, FieldChange{"rule " + rule.Name, was[rule.Name], is[rule.Name]})
		}
	}
	if !slices.Equal(kept, order) {
		changes = append(changes, FieldChange{"order", strings.Join(kept, ", "), strings.Join(order, ", ")})
	}
	return changes
}

// ruleTexts are the rules by name, each as JSON without it.
func ruleTexts(rules []Rule) map[string]string {
	texts := map[string]string{}
	for _, rule := range rules {
		var text strings.Builder
		out := json.NewEncoder(&text)
		out.SetEscapeHTML(false)
		_ = out.Encode(struct {
			Match    RuleMatch `json:"match,omitzero"`
			Set      RuleSetTo `json:"set"`
			Disabled bool      `json:"disabled,omitempty"`
		}{rule.Match, rule.Set, rule.Disabled}) // texts only: cannot fail
		texts[rule.Name] = strings.TrimSpace(text.String())
	}
	return texts
}
