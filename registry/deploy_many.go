package registry

import "context"

// DeployMany has the same put on each machine of a selection; at most limit are under
// way at once (0: all). Each is deployed, or refused, on its own, with what
// [Registry.Deploy] says. With [WithDryRun] nothing is changed, and each outcome has its
// plan, and as its error what keeps that from being carried out. It errs as
// [Registry.Bulk] does.
func (r *Registry) DeployMany(ctx context.Context, s Selection, req DeployRequest, limit int) (Batch, []Outcome, error) {
	v := validator{}
	s.check(&v)
	if !s.one() && req.Seed.Hostname != "" {
		v.add("/deployment/seed/hostname", "a host name is for one machine; without one each is called by its own name")
	}
	if !s.one() && req.Confirm != "" {
		v.add("/deployment/confirm", "it names the disk of one machine; for many, say erase, with the disks of all of them")
	}
	v.limit("/concurrency", limit)
	if err := v.err(); err != nil {
		return Batch{}, nil, err
	}
	if err := r.writable(); err != nil {
		return Batch{}, nil, err
	}
	all, err := r.Select(ctx, s)
	if err != nil {
		return Batch{}, nil, err
	}
	batch := NewBatch(limit)
	err = eachOf(ctx, all, func(ctx context.Context, o *Outcome) error {
		plan, err := r.Deploy(ctx, o.ID, req, batch)
		if err != nil {
			return err
		}
		o.Plan = &plan
		return plan.refusal()
	})
	return batch, all, err
}
