package registry

import (
	"context"
	"fmt"
	"strings"
)

// TryDefaults is what a machine would be given by such defaults, and by what lies over
// them, with an operating system, were it installed now: the parameters of a template,
// without the hashes of passwords. Nothing is changed. It errs with [*InvalidError],
// [*RefusalError], [ErrNotFound] or [ErrUnavailable].
func (r *Registry) TryDefaults(ctx context.Context, machine, os string, seed Seed) (Seeded, error) {
	stored, err := r.openDefaults(ctx)
	if err == nil {
		seed, err = r.wantedDefaults(seed, stored.Seed)
	}
	if err != nil {
		return Seeded{}, err
	}
	m, err := r.Machine(ctx, machine)
	if err != nil {
		return Seeded{}, fmt.Errorf("machine %.80q: %w", machine, err)
	}
	o, err := r.OS(ctx, os)
	if err != nil {
		return Seeded{}, err
	}
	server, err := r.tools.Server(m)
	if err != nil {
		return Seeded{}, err
	}
	made, err := r.tools.Seed(ctx, SeedRequest{Defaults: seed, Deployment: r.newDeployment(ctx, m, DeployRequest{OS: o.ID}), Machine: m, OS: o,
		Seed: Seed{Hostname: m.Name}, Server: server})
	for _, user := range seed.Users {
		for name, text := range made.Parameters {
			if user.PasswordHash != "" {
				made.Parameters[name] = strings.ReplaceAll(text, user.PasswordHash, HashKept)
			}
		}
	}
	return made, err
}
