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

// Defaults is what every deployment begins from: the lowest layer of what an installed
// system is given.
type Defaults struct {
	Version int64 // 0: nobody has set any
	Seed    Seed
}

// SealedDefaults is the defaults as they are stored.
type SealedDefaults struct {
	Version int64
	Sealed  string // the [Seed], which may have hashes of passwords
}

// HashKept stands for the hash of a password: in an answer for the one that is stored,
// which nobody is told, and in what is set for that one to stay.
const HashKept = "kept"

// hashChanged stands in the audit log for a hash that is another than before.
const hashChanged = "changed"

// Defaults returns what every deployment begins from, without the hashes of passwords;
// while the store is away, what was known last.
func (r *Registry) Defaults(ctx context.Context) (Defaults, error) {
	d, err := r.openDefaults(ctx)
	d.Seed = d.Seed.withoutHashes()
	return d, err
}

// openDefaults is the defaults with what is secret in them.
func (r *Registry) openDefaults(ctx context.Context) (d Defaults, err error) {
	if known := r.defaults.Load(); r.away() && known != nil {
		return *known, nil
	}
	sealed, err := r.store.Defaults(ctx)
	if r.heard(ctx, err) != nil {
		return d, fmt.Errorf("load the defaults: %w", err)
	}
	if d.Version = sealed.Version; d.Version > 0 {
		text, err := r.tools.Sealer.Open(sealDefaults, sealed.Sealed)
		if err == nil {
			err = json.Unmarshal([]byte(text), &d.Seed)
		}
		if err != nil {
			return d, fmt.Errorf("open the defaults: %w", err)
		}
	}
	r.defaults.Store(&d)
	return d, nil
}

// sealDefaults is what the defaults are sealed as.
const sealDefaults = "defaults"

// SetDefaults replaces what every deployment begins from; those that were asked for go
// on as they are. The hash of a user's password that is [HashKept] stays what it is. It
// errs with [*InvalidError], [ErrUnavailable], or a [*ConflictError] when version is not
// [AnyVersion] and not the one that is stored. What is there already is not written again.
func (r *Registry) SetDefaults(ctx context.Context, version int64, seed Seed) (Defaults, error) {
	if err := r.writable(); err != nil {
		return Defaults{}, err
	}
	if AppliedBefore(ctx) {
		return r.Defaults(ctx)
	}
	for range attempts {
		stored, err := r.openDefaults(ctx)
		if err != nil {
			return Defaults{}, err
		}
		if version != AnyVersion && max(version, 0) != stored.Version {
			return Defaults{}, &ConflictError{Object: "defaults", Read: max(version, 0), Stored: stored.Version}
		}
		next := Defaults{Version: stored.Version}
		if next.Seed, err = r.wantedDefaults(seed, stored.Seed); err != nil {
			return Defaults{}, err
		}
		err = r.writeDefaults(ctx, stored, &next)
		if _, lost := errors.AsType[*ConflictError](err); lost && version == AnyVersion {
			continue
		}
		next.Seed = next.Seed.withoutHashes()
		return next, err
	}
	return Defaults{}, &ConflictError{Object: "defaults"}
}

// wantedDefaults is seed with the hashes that stay, or what is wrong with it.
func (r *Registry) wantedDefaults(seed, stored Seed) (Seed, error) {
	v := validator{}
	seed.Users = slices.Clone(seed.Users)
	for i, user := range seed.Users {
		if user.PasswordHash != HashKept {
			continue
		}
		at := slices.IndexFunc(stored.Users, func(u SeedUser) bool { return u.Name == user.Name && u.PasswordHash != "" })
		if at < 0 {
			v.add(fmt.Sprintf("/users/%d/password_hash", i), fmt.Sprintf("no hash of a password of %.40q is stored that could be kept; give it, or leave it out", user.Name))
			seed.Users[i].PasswordHash = ""
			continue
		}
		seed.Users[i].PasswordHash = stored.Users[at].PasswordHash
	}
	v.defaults(seed)
	if r.tools.CheckDefaults != nil {
		err := r.tools.CheckDefaults(seed)
		wrong, ok := errors.AsType[*InvalidError](err)
		if err != nil && !ok {
			return seed, err
		}
		if ok {
			v.fields = append(v.fields, wrong.Fields...)
		}
	}
	return seed, v.err()
}

// defaults refuses what cannot be the same for every machine.
func (v *validator) defaults(s Seed) {
	if s.Hostname != "" {
		v.add("/hostname", "each machine has a name of its own; leave it out")
	}
	if s.FQDN != "" {
		v.add("/fqdn", "each machine has a name of its own; leave it out")
	}
	for i, e := range s.Network.Ethernets {
		if e.MAC != (MAC{}) {
			v.add(fmt.Sprintf("/network/ethernets/%d/mac", i), "each machine has ports of its own; leave it out for the one that it boots from")
		}
		v.sharedLink(fmt.Sprintf("/network/ethernets/%d", i), e.Link)
	}
	if len(s.Network.Bonds) > 0 {
		v.add("/network/bonds", "each machine has ports of its own; ask for a bond with the deployment")
	}
	for i, vlan := range s.Network.VLANs {
		v.sharedLink(fmt.Sprintf("/network/vlans/%d", i), vlan.Link)
	}
}

func (v *validator) sharedLink(at string, l Link) {
	if len(l.Addresses) > 0 {
		v.add(at+"/addresses", "every machine would have the same address; ask for it with the deployment")
	}
}

// writeDefaults writes next over those that are stored.
func (r *Registry) writeDefaults(ctx context.Context, stored Defaults, next *Defaults) error {
	text, err := json.Marshal(next.Seed)
	if err != nil {
		return err
	}
	if next.Seed.Equal(stored.Seed) || dryRun(ctx) {
		return nil
	}
	was, errWas := json.Marshal(stored.Seed.withoutHashes())
	is, errIs := json.Marshal(next.Seed.hashesSince(stored.Seed.Users))
	if err := errors.Join(errWas, errIs); err != nil {
		return err
	}
	if stored.Version == 0 {
		was = nil // there was nothing before
	}
	now := r.now()
	err = r.commit(ctx, Change{Op: OpOf(ctx), Defaults: &SealedDefaults{Version: stored.Version, Sealed: r.tools.Sealer.Seal(sealDefaults, string(text))},
		Events: []Event{{At: now, Kind: DefaultsEdited, Message: "what deployments begin from was changed" + byWhom(ctx)}},
		Audit:  []AuditEntry{{At: now, Actor: ActorOf(ctx), Action: string(DefaultsEdited), Object: "defaults", Before: was, After: is}}})
	if err == nil {
		next.Version++
		r.defaults.Store(new(*next))
	}
	return err
}

// withoutHashes is s with [HashKept] for each hash of a password.
func (s Seed) withoutHashes() Seed { return s.withHashes(func(SeedUser) string { return HashKept }) }

// hashesSince is s with a word for each hash of a password: that it is the same user's of
// before, or another.
func (s Seed) hashesSince(before []SeedUser) Seed {
	return s.withHashes(func(user SeedUser) string {
		if slices.ContainsFunc(before, func(u SeedUser) bool { return u.Name == user.Name && u.PasswordHash == user.PasswordHash }) {
			return HashKept
		}
		return hashChanged
	})
}

// withHashes is s with what of says in place of each hash of a password.
func (s Seed) withHashes(of func(SeedUser) string) Seed {
	s.Users = slices.Clone(s.Users)
	for i, user := range s.Users {
		if user.PasswordHash != "" {
			s.Users[i].PasswordHash = of(user)
		}
	}
	return s
}

// seedMembers are the members of a seed that say something, each as JSON.
func seedMembers(s Seed) map[string]string {
	text, err := json.Marshal(s)
	members, out := map[string]json.RawMessage{}, map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil {
		panic(err) // texts, numbers and addresses: they are JSON
	}
	for name, value := range members {
		if string(value) != "[]" && string(value) != "null" {
			out[name] = string(value)
		}
	}
	return out
}

// changesOfDefaults is what becomes of each member.
func changesOfDefaults(before, after Seed) (changes []FieldChange) {
	was, is := seedMembers(before), seedMembers(after)
	shownWas, shownIs := seedMembers(before.withoutHashes()), seedMembers(after.hashesSince(before.Users))
	for field := range reflect.TypeFor[Seed]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if was[name] != is[name] {
			changes = append(changes, FieldChange{name, shownWas[name], shownIs[name]})
		}
	}
	return changes
}
