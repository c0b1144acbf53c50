package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// Wanted is how machines, operating systems, rules and defaults are to be.
type Wanted struct {
	Machines []Listed
	OSes     []OS   // those that are not named stay
	Rules    []Rule // instead of those there are; nil: those stay
	Defaults *Seed  // the same
	Exact    bool   // what an entry does not say of its machine is taken away, but for a lock
	Prune    bool   // machines that no entry is about are deleted ...
	Among    Filter // ... where they match
	Plan     string // that of a dry run, see [Applied.Plan]: nothing else is done
}

// Applied is what became of what was wanted.
type Applied struct {
	Machines []ImportStep  // one for each entry, in their order
	OSes     []OSStep      // the same
	Rules    *RulesStep    // nil: nothing was said of them
	Defaults *DefaultsStep // the same
	Deleted  []ImportStep  // the machines that no entry is about, by name
}

// SettingStep is what becomes of something there is one of.
type SettingStep struct {
	Action  ImportAction // ImportEdit, ImportSame or ImportRefuse
	Changes []FieldChange
	Err     error // why nothing is done, as of [Registry.SetRules] and [Registry.SetDefaults]

	version int64 // of what is stored
}

// RulesStep is what becomes of the rules.
type RulesStep struct {
	SettingStep
	rules []Rule // as they are to be
}

// DefaultsStep is what becomes of the defaults.
type DefaultsStep struct {
	SettingStep
	seed Seed // as they are to be
}

// ErrPlan is that what would be done is not what was agreed to. Nothing is done.
var ErrPlan = errors.New("what would be done is not what was agreed to: something was changed meanwhile; look at it anew")

// Apply makes machines, operating systems, rules and defaults what is wanted, in the
// way of [Registry.Import]: each is written or refused on its own, and what became of it
// is its step. Nothing is deleted where an entry is refused, since that may be about any
// machine.
//
// It errs with [ErrPlan], and otherwise as Import, [Registry.PutOS], [Registry.SetRules]
// and [Registry.SetDefaults] do.
func (r *Registry) Apply(ctx context.Context, w Wanted) (Applied, error) {
	if err := w.check(); err != nil {
		return Applied{}, err
	}
	if err := r.writable(); err != nil {
		return Applied{}, err
	}
	items := w.items()
	a, err := r.planApply(ctx, w, items)
	switch {
	case err != nil:
		return Applied{}, err
	case w.Plan != "" && w.Plan != a.Plan():
		return Applied{}, ErrPlan
	case dryRun(ctx):
		return a, nil
	}
	if w.Plan != "" {
		for i, s := range a.Machines {
			items[i].Plan = s.Fingerprint() // also where a race is lost from now on
		}
	}
	r.applyRules(ctx, a.Rules)
	r.applyDefaults(ctx, a.Defaults)
	r.applyOSes(ctx, a.OSes)
	r.importSteps(ctx, items, a.Machines)
	r.deleteSteps(ctx, a.Deleted)
	r.countSteps(a.Machines, a.Deleted)
	return a, ctx.Err()
}

// check reports what is wrong with w as a whole.
func (w Wanted) check() error {
	switch {
	case len(w.Machines) > MaxImport:
		return &InvalidError{Fields: []FieldError{{"", fmt.Sprintf("%d machines; at most %d at once", len(w.Machines), MaxImport)}}}
	case w.Prune && len(w.Machines) == 0:
		return &InvalidError{Fields: []FieldError{{"", "without a machine, pruning would delete every machine there is: name those that stay, or delete machines by a filter"}}}
	}
	return (RuleSet{Rules: w.Rules}).Validate()
}

func (w Wanted) items() []ImportItem {
	items := make([]ImportItem, len(w.Machines))
	for i, l := range w.Machines {
		if w.Exact {
			l = l.exactly()
		}
		items[i].Listed = l
	}
	return items
}

func (r *Registry) planApply(ctx context.Context, w Wanted, items []ImportItem) (a Applied, err error) {
	if a.Machines, err = r.planImport(ctx, items); err != nil {
		return a, err
	}
	if w.Rules != nil {
		if a.Rules, err = r.planRules(ctx, w.Rules); err != nil {
			return a, err
		}
	}
	if w.Defaults != nil {
		if a.Defaults, err = r.planDefaults(ctx, *w.Defaults); err != nil {
			return a, err
		}
	}
	if len(w.OSes) > 0 {
		if a.OSes, err = r.planOSes(ctx, w.OSes); err != nil {
			return a, err
		}
	}
	if w.Prune {
		a.Deleted, err = r.planPrune(ctx, w.Among, a.Machines)
	}
	return a, err
}

// Plan names what is done: with the same one the same is done.
func (a Applied) Plan() string {
	sum := sha256.New()
	say := func(what any) { _ = json.NewEncoder(sum).Encode(what) } // texts only: cannot fail
	for _, s := range a.Machines {
		say(s.Fingerprint())
	}
	if a.Rules != nil {
		say([]any{a.Rules.Action, a.Rules.rules})
	}
	if a.Defaults != nil {
		say([]any{a.Defaults.Action, a.Defaults.seed})
	}
	for _, s := range a.OSes {
		say([]any{s.Action, s.os})
	}
	for _, s := range a.Deleted {
		say(s.Fingerprint())
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// planRules says what becomes of the rules that are stored.
func (r *Registry) planRules(ctx context.Context, rules []Rule) (*RulesStep, error) {
	stored, err := r.Rules(ctx)
	if err != nil {
		return nil, err
	}
	return &RulesStep{settingStep(stored.Version, changesOfRules(stored.Rules, rules)), rules}, nil
}

func settingStep(version int64, changes []FieldChange) SettingStep {
	step := SettingStep{Action: ImportSame, version: version, Changes: changes}
	if len(changes) > 0 {
		step.Action = ImportEdit
	}
	return step
}

// planDefaults says what becomes of the defaults that are stored.
func (r *Registry) planDefaults(ctx context.Context, seed Seed) (*DefaultsStep, error) {
	stored, err := r.openDefaults(ctx)
	if err != nil {
		return nil, err
	}
	seed, err = r.wantedDefaults(seed, stored.Seed)
	if _, wrong := errors.AsType[*InvalidError](err); wrong {
		return &DefaultsStep{SettingStep: SettingStep{Action: ImportRefuse, Err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	return &DefaultsStep{settingStep(stored.Version, changesOfDefaults(stored.Seed, seed)), seed}, nil
}

func (r *Registry) applyDefaults(ctx context.Context, step *DefaultsStep) {
	if step == nil || step.Action != ImportEdit {
		return
	}
	if _, err := r.SetDefaults(OncePart(ctx, "defaults"), storedVersion(step.version), step.seed); err != nil {
		step.refuse(err)
	}
}

func (s *SettingStep) refuse(err error) { *s = SettingStep{Action: ImportRefuse, Err: err} }

func (r *Registry) applyRules(ctx context.Context, step *RulesStep) {
	if step == nil || step.Action != ImportEdit {
		return
	}
	if _, err := r.SetRules(ctx, storedVersion(step.version), step.rules); err != nil {
		step.refuse(err)
	}
}

// planPrune lists the machines among those that match which no step is about.
func (r *Registry) planPrune(ctx context.Context, among Filter, steps []ImportStep) (gone []ImportStep, err error) {
	meant, refused := map[string]bool{}, 0
	for _, s := range steps {
		if s.Err != nil {
			refused++
		}
		meant[s.before.ID] = true
		for _, m := range s.absorb {
			meant[m.ID] = true
		}
	}
	err = r.Each(ctx, among, func(machines []Machine) error {
		for _, m := range machines {
			if !meant[m.ID] {
				gone = append(gone, r.pruneStep(m, refused))
			}
		}
		return nil
	})
	return gone, err
}

// pruneStep is what becomes of a machine that no entry is about. refused counts the
// entries of which it is not known which machine they are about.
func (r *Registry) pruneStep(m Machine, refused int) ImportStep {
	step := ImportStep{Action: ImportDelete, Machine: m, before: m, Changes: changesOf(m, Machine{State: m.State}, nil, r.now())}
	switch err := m.deletable(); {
	case err != nil:
		step.refuse(err)
	case refused > 0:
		step.refuse(&ListError{fmt.Sprintf("%d of the entries are refused, and one of them may be about it: nothing is deleted before they are mended", refused)})
	}
	return step
}

// deleteSteps carries out the steps of pruning, some at once.
func (r *Registry) deleteSteps(ctx context.Context, steps []ImportStep) {
	var group sync.WaitGroup
	places := make(chan struct{}, importAtOnce)
	for i := range steps {
		if steps[i].Err != nil {
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			m := steps[i].before
			if err := r.Delete(OncePart(ctx, m.ID), m.ID, m.Version); err != nil {
				steps[i].refuse(err)
			}
		})
	}
	group.Wait()
}
