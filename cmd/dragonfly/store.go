package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
)

// openStore connects to the rqlite of the configuration, or starts the embedded
// one. The second result stops it. A server that already knows something starts
// without a database elsewhere that cannot be reached; another one waits for it.
func openStore(ctx context.Context, cfg config, known bool, log *slog.Logger) (*rqlite.Store, func() error, error) {
	if cfg.Rqlite != "" {
		store, err := openRemote(ctx, cfg.Rqlite, known, log)
		return store, func() error { return nil }, err
	}
	embedded, err := node.Start(ctx, node.Config{Dir: cfg.DataDir, Log: log})
	if err != nil {
		return nil, nil, err
	}
	store, err := rqlite.Open(ctx, rqlite.Config{HTTP: embedded.Client(), Direct: embedded, Log: log})
	if err != nil {
		return nil, nil, errors.Join(err, embedded.Close())
	}
	return store, embedded.Close, nil
}

func openRemote(ctx context.Context, url string, known bool, log *slog.Logger) (*rqlite.Store, error) {
	remote, err := rqlite.Remote(url)
	if err != nil {
		return nil, err
	}
	remote.Log = log
	for {
		store, err := rqlite.Open(ctx, remote)
		if !errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
			return store, err
		}
		if known {
			log.Error("the database cannot be reached; starting with the last known state", "err", err)
			return store, nil
		}
		log.Error("the database cannot be reached, and a first start needs it: waiting", "err", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Second):
		}
	}
}
