package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// rulebook is the rules on registration as they are in force here.
type rulebook struct {
	mu  sync.Mutex
	set RuleSet
}

func (b *rulebook) get() RuleSet {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set
}

// put takes a set in, unless a newer one is in force: a write here and what is read
// of the database may overtake one another. anew says that the store went back in
// time, where an older one counts. It reports whether the set is another now.
func (b *rulebook) put(s RuleSet, anew bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.Version <= b.set.Version && !anew {
		return false
	}
	b.set = s
	return true
}

// loadRules puts the rules of the store into force.
func (r *Registry) loadRules(ctx context.Context, anew bool) error {
	set, err := r.store.Rules(ctx)
	if r.heard(ctx, err) == nil {
		r.enforce(set, anew)
	}
	return err
}

// rulesDocument is where the rules are kept for a start without the store.
const rulesDocument = "rules"

// enforce puts rules into force, and keeps them for a start without the store.
func (r *Registry) enforce(set RuleSet, anew bool) {
	if !r.rules.put(set, anew) || r.standby == nil || r.standby.Documents == nil {
		return
	}
	text, err := json.Marshal(set)
	if err = errors.Join(err, r.standby.Documents.KeepDocument(rulesDocument, text)); err != nil {
		r.log.Error("keep the rules on registration for a start without the database", "err", err)
	}
}

// recallRules puts the rules into force that an earlier run kept.
func (r *Registry) recallRules() {
	var set RuleSet
	if r.standby.Documents != nil && json.Unmarshal(r.standby.Documents.Document(rulesDocument), &set) == nil {
		r.rules.put(set, true)
	}
}

// assign gives a machine that registers for the first time what the rules set, and
// returns what its timeline says of that; no events where no rule applies. deploys is
// the rule that has its operating system installed; nil: none. taken counts the names
// that turned out to belong to machines that are not known here yet. The caller gives
// back the claim to the name once the machine is in the index.
func (r *Registry) assign(m Machine, e enrolment, taken int) (assigned Machine, events []Event, deploys *Rule) {
	if !m.RegisteredAt.IsZero() {
		return m, nil, nil
	}
	a := r.rules.get().evaluate(e.Registration)
	name := m.Name
	if a.name != (nameText{}) && hasGivenName(m, e.Registration) {
		name = r.index.claim(m.ID, a.name, taken)
	}
	assigned, changes := a.apply(m, name)
	if line := a.line(changes); line != "" {
		events = []Event{assigned.event(MachineAssigned, e.At, line)}
	}
	if m.OS == "" { // else somebody has said what it is for, and that is not overruled
		deploys = a.deploys
	}
	return assigned, events, deploys
}

// givenNames is how many of the names that [Name] gives to a seed are recognised.
const givenNames = 8

// hasGivenName reports whether nobody but [Name] named m: what an operator said
// is not overruled.
func hasGivenName(m Machine, reg Registration) bool {
	if first, _, _ := strings.Cut(m.Name, "-"); m.Version > 0 && !strings.Contains(nameFirst, first) {
		return false // no need to try
	}
	seeds := []string{reg.Hardware.System.UUID, m.Hardware.System.UUID, m.Hardware.System.Serial}
	for _, mac := range m.MACs {
		seeds = append(seeds, mac.String())
	}
	return m.Version == 0 || slices.ContainsFunc(seeds, func(seed string) bool {
		for attempt := range givenNames {
			if Name(seed, attempt) == m.Name {
				return true
			}
		}
		return false
	})
}

// apply is m with the name, and with what the rules set and nobody set before. It
// lists what that changed.
func (a assignment) apply(m Machine, name string) (assigned Machine, changes []string) {
	if name != m.Name {
		changes = append(changes, "named "+name)
		m.Name = name
	}
	tags := slices.Clone(m.Tags)
	for _, tag := range a.set.Tags {
		if !slices.Contains(tags, tag) && len(tags) < maxTags {
			tags = append(tags, tag)
			changes = append(changes, "tag "+tag)
		}
	}
	if len(tags) > 0 {
		m.Tags = slices.Sorted(slices.Values(tags))
	}
	labels := maps.Clone(m.Labels)
	for _, key := range slices.Sorted(maps.Keys(a.set.Labels)) {
		if _, taken := labels[key]; taken || len(labels) >= maxLabels {
			continue
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = a.set.Labels[key]
		changes = append(changes, "label "+key+"="+labels[key])
	}
	m.Labels = labels
	if a.set.Owner != "" && m.Owner == "" {
		m.Owner = a.set.Owner
		changes = append(changes, "owner "+m.Owner)
	}
	if a.set.OS != "" && m.OS == "" {
		m.OS = a.set.OS
		changes = append(changes, "operating system "+m.OS)
		if a.deploys != nil {
			changes = append(changes, "which is installed "+a.deploys.Set.when())
		}
	}
	return m, changes
}

// The bounds of what one line of a timeline lists.
const (
	maxListed = 20
	maxItem   = 80 // bytes
)

// line is what the timeline says of an assignment; empty where no rule applies.
func (a assignment) line(changes []string) string {
	var applied, remarks []string
	for _, v := range a.verdicts {
		if !v.Applies {
			continue
		}
		applied = append(applied, fmt.Sprintf("%q", v.Rule))
		if v.Because != "" {
			remarks = append(remarks, fmt.Sprintf("; the name of %q is passed over: %s", v.Rule, v.Because))
		}
	}
	if len(applied) == 0 {
		return ""
	}
	if len(changes) == 0 {
		changes = []string{"nothing that was not set before"}
	}
	return "by the rules " + listed(applied) + ": " + listed(changes) + strings.Join(remarks[:min(len(remarks), 3)], "")
}

// listed is the beginning of the first of texts, and how many there are beside them.
func listed(texts []string) string {
	texts = slices.Clone(texts)
	for i, text := range texts {
		if len(text) > maxItem {
			texts[i] = strings.ToValidUTF8(text[:maxItem], "") + "..."
		}
	}
	if over := len(texts) - maxListed; over > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(texts[:maxListed], ", "), over)
	}
	return strings.Join(texts, ", ")
}
