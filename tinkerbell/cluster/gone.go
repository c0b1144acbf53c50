package cluster

import (
	"context"
	"errors"
	"slices"
	"time"
)

// goneChunk is how many machines the store is asked for at once.
const goneChunk = 500

var errReading = errors.New("the objects are being read")

// lookForGone has the machines looked at that we have objects of, and that are not there
// any more: they may have been deleted while nobody was listening, or were removed only
// in part. It begins as soon as it is known what there is.
func (p *Provisioner) lookForGone(ctx context.Context) {
	for ctx.Err() == nil {
		if err := p.findGone(ctx); err != nil {
			p.log.Debug("look for machines that are gone", "err", err)
			pause(ctx, time.Second)
			continue
		}
		pause(ctx, lookEvery)
	}
}

func (p *Provisioner) findGone(ctx context.Context) error {
	if !p.seen.synced() {
		return errReading
	}
	for ids := range slices.Chunk(p.seen.machines(), goneChunk) {
		deleted, err := p.registry.Deleted(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range deleted {
			p.queue.Add(id)
		}
	}
	return nil
}

// abandon removes everything that we made of a machine that is not there any more. That
// it was deleted is for the store alone to say: what was read before may be of a node that
// is behind, and the objects of a machine that is being installed would be removed by it;
// or they are of a server with another database.
func (p *Provisioner) abandon(ctx context.Context, machine string) error {
	if !p.seen.synced() {
		return errReading
	}
	deleted, err := p.registry.Deleted(ctx, []string{machine})
	if err != nil {
		return err
	}
	if len(deleted) == 0 {
		p.log.Debug("nothing is removed of a machine that the database does not know to have been deleted", "machine", machine)
		return nil
	}
	for _, object := range p.seen.madeOf(machine) {
		removed, err := p.cluster.removeAsSeen(ctx, object.kind, object.Unstructured)
		if err != nil {
			return err
		}
		if removed { // and not by another server that does the same
			p.Stats.Removed.Add(1)
			p.log.Info("removed from Kubernetes, as its machine was deleted", "kind", object.GetKind(), "name", object.GetName(), "machine", machine)
		}
	}
	return nil
}
