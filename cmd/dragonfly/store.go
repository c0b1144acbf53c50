package main

import (
	"context"
	"errors"
	"log/slog"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
)

// openStore connects to the rqlite of the configuration, or starts the embedded
// one. The second result stops it.
func openStore(ctx context.Context, cfg config, log *slog.Logger) (*rqlite.Store, func() error, error) {
	if cfg.Rqlite != "" {
		remote, err := rqlite.Remote(cfg.Rqlite)
		if err != nil {
			return nil, nil, err
		}
		remote.Log = log
		store, err := rqlite.Open(ctx, remote)
		if errors.Is(err, registry.ErrUnavailable) && ctx.Err() == nil {
			log.Error("the database cannot be reached; starting with what is known, where something is", "err", err)
			err = nil // whether there is something the registry finds out
		}
		return store, func() error { return nil }, err
	}
	embedded, err := node.Start(ctx, node.Config{Dir: cfg.DataDir, Log: log})
	if err != nil {
		return nil, nil, err
	}
	store, err := rqlite.Open(ctx, rqlite.Config{HTTP: embedded.Client(), Log: log})
	if err != nil {
		return nil, nil, errors.Join(err, embedded.Close())
	}
	return store, embedded.Close, nil
}
