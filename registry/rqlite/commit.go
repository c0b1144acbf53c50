package rqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dragonfly/registry"
)

// Commit applies c in one transaction, or nothing of it.
func (s *Store) Commit(ctx context.Context, c registry.Change) error {
	if err := alone(c); err != nil {
		return err
	}
	writes, err := plan(c)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	switch err := s.batch.write(ctx, about(c), writes); err {
	case errApplied:
		return nil
	case errLost:
		return s.lost(ctx, c)
	default:
		return err
	}
}

// about is everything whose version c names.
func about(c registry.Change) []string {
	all := c.Machines()
	if c.Rules != nil {
		all = append(all, settingRules)
	}
	if c.Defaults != nil {
		all = append(all, settingDefaults)
	}
	for _, d := range c.Deployments {
		all = append(all, d.ID)
	}
	for _, o := range slices.Concat(c.DeleteOSes, c.OSes) {
		all = append(all, "os/"+o.ID)
	}
	return all
}

// alone refuses a change that names something twice: its second version cannot be
// the one that is stored.
func alone(c registry.Change) error {
	seen := map[string]bool{}
	for _, machines := range [][]registry.Machine{c.Delete, c.Put} {
		for i := range machines {
			m := &machines[i]
			if seen[m.ID] {
				return &registry.ConflictError{Object: "machine " + m.ID, Read: m.Version}
			}
			seen[m.ID] = true
		}
	}
	for _, d := range c.Deployments {
		if seen[d.ID] {
			return &registry.ConflictError{Object: "deployment " + d.ID, Read: d.Version}
		}
		seen[d.ID] = true
	}
	for _, o := range slices.Concat(c.DeleteOSes, c.OSes) {
		if seen["os/"+o.ID] {
			return &registry.ConflictError{Object: "operating system " + o.ID, Read: o.Revision}
		}
		seen["os/"+o.ID] = true
	}
	return nil
}

// lost says what the change lost its race for, by looking at what there is now.
func (s *Store) lost(ctx context.Context, c registry.Change) error {
	q := registry.Query{IDs: c.Machines(), Brief: true}
	for _, m := range c.Put {
		q.Names, q.MACs = append(q.Names, m.Name), append(q.MACs, m.MACs...)
	}
	if err := s.lostSetting(ctx, c); err != nil {
		return err
	}
	if err := s.lostDeployment(ctx, c); err != nil {
		return err
	}
	if len(c.Machines()) > 0 {
		found, err := s.Machines(ctx, q)
		if err != nil {
			return err
		}
		if err := conflict(c, found); err != nil {
			return err
		}
	}
	return gone(c)
}

// lostSetting says whether it was for the rules or the defaults.
func (s *Store) lostSetting(ctx context.Context, c registry.Change) error {
	rules, errRules := s.Rules(ctx)
	defaults, errDefaults := s.Defaults(ctx)
	switch err := errors.Join(errRules, errDefaults); {
	case err != nil:
		return err
	case c.Rules != nil && c.Rules.Version != rules.Version:
		return &registry.ConflictError{Object: "rules", Read: c.Rules.Version, Stored: rules.Version}
	case c.Defaults != nil && c.Defaults.Version != defaults.Version:
		return &registry.ConflictError{Object: "defaults", Read: c.Defaults.Version, Stored: defaults.Version}
	}
	return nil
}

// gone is the conflict of a change where what stood in its way is gone again: so
// much for the race, and it was lost.
func gone(c registry.Change) error {
	switch {
	case c.Rules != nil:
		return &registry.ConflictError{Object: "rules", Read: c.Rules.Version}
	case c.Defaults != nil:
		return &registry.ConflictError{Object: "defaults", Read: c.Defaults.Version}
	case len(c.Deployments) > 0:
		return &registry.ConflictError{Object: "deployment " + c.Deployments[0].ID, Read: c.Deployments[0].Version}
	case len(c.OSes)+len(c.DeleteOSes) > 0:
		o := slices.Concat(c.DeleteOSes, c.OSes)[0]
		return &registry.ConflictError{Object: "operating system " + o.ID, Read: o.Revision}
	}
	return &registry.ConflictError{Object: "machine " + c.Machines()[0], Read: slices.Concat(c.Delete, c.Put)[0].Version}
}

// conflict is what keeps c from being applied, given the machines there are.
func conflict(c registry.Change, found []registry.Machine) error {
	stored := map[string]int64{}
	for _, m := range found {
		stored[m.ID] = m.Version
	}
	for _, m := range slices.Concat(c.Delete, c.Put) {
		if stored[m.ID] != m.Version {
			return &registry.ConflictError{Object: "machine " + m.ID, Read: m.Version, Stored: stored[m.ID]}
		}
	}
	others := slices.DeleteFunc(found, func(m registry.Machine) bool { return slices.Contains(c.Machines(), m.ID) })
	for i, m := range c.Put {
		for _, other := range slices.Concat(others, c.Put[:i]) {
			if other.Name == m.Name {
				return &registry.ConflictError{Object: "name " + m.Name, Read: m.Version}
			}
			for _, mac := range m.MACs {
				if slices.Contains(other.MACs, mac) {
					return &registry.ConflictError{Object: "hardware address " + mac.String(), Read: m.Version}
				}
			}
		}
	}
	return nil
}
