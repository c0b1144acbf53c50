package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
)

// fillBatch is how many machines one transaction stores.
const fillBatch = 250

// fill stores the first n machines of the fleet in the database of a data
// directory, as their registrations would have, and returns their IDs, names,
// addresses, owners and labels. What an earlier call stored there stays as it is.
func fill(ctx context.Context, dir string, n int) (all []registry.Machine, err error) {
	embedded, err := node.Start(ctx, node.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, embedded.Close()) }()
	store, err := rqlite.Open(ctx, rqlite.Config{HTTP: embedded.Client()})
	if err != nil {
		return nil, err
	}
	have, err := store.LastEvent(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for from := 0; from < n; from += fillBatch {
		change := registry.Change{Op: fmt.Sprint("fill ", from)}
		for i := from; i < min(n, from+fillBatch); i++ {
			m := fleetMachine(i)
			m.Name = freeName(names, m.Hardware.System.UUID)
			change.Put = append(change.Put, m)
			change.History = append(change.History, registry.HardwareRecord{Machine: m.ID, At: m.RegisteredAt, Hardware: m.Hardware})
			change.Events = append(change.Events, registry.Event{At: m.RegisteredAt, Kind: registry.MachineRegistered, Machine: m.ID,
				MAC: m.BootMAC(), Message: "registered for the first time: " + m.Hardware.System.Product})
			all = append(all, registry.Machine{ID: m.ID, Name: m.Name, MACs: m.MACs, Owner: m.Owner, Labels: m.Labels})
		}
		if have >= int64(n) { // there already
			continue
		}
		if err := store.Commit(ctx, change); err != nil {
			return nil, fmt.Errorf("fill the database with machines %d to %d: %w", from, from+fillBatch, err)
		}
	}
	return all, nil
}

// freeName is the first name of a seed that is not taken yet, and takes it.
func freeName(taken map[string]bool, seed string) string {
	for attempt := 0; ; attempt++ {
		if name := registry.Name(seed, attempt); !taken[name] {
			taken[name] = true
			return name
		}
	}
}
