package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
	"dragonfly/registry/rqlite/node/trust"
)

// sealingKeyFile, in the data directory, seals the secrets in the database. The
// members of a cluster have the same one.
const sealingKeyFile = "secrets.key"

// database is the store, and the node in this process where there is one.
type database struct {
	store *rqlite.Store
	node  *node.Node // nil where the database is elsewhere

	shared bool // other servers may use it too
}

// databaseConfig says which database to use.
type databaseConfig struct {
	config
	port  net.Listener // the cluster port, for a member of a cluster
	known bool         // there is a last known state to start with
}

// openDatabase connects to the rqlite of the configuration, or starts the node in
// this process: alone, or as a member of the cluster that the data directory says.
func openDatabase(ctx context.Context, cfg databaseConfig, log *slog.Logger) (*database, error) {
	db := &database{shared: cfg.Rqlite != "" || cfg.port != nil}
	where, err := db.start(ctx, cfg, log)
	if err == nil {
		where.Log = log
		db.store, err = openStore(ctx, where, cfg.known, log)
	}
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// start starts the node, where it is to be in this process.
func (db *database) start(ctx context.Context, cfg databaseConfig, log *slog.Logger) (where rqlite.Config, err error) {
	if cfg.Rqlite != "" {
		return rqlite.Remote(cfg.Rqlite, rqlite.WithCA(cfg.RqliteCA), rqlite.WithCertificate(cfg.RqliteCert, cfg.RqliteKey))
	}
	peers, err := peersOf(cfg)
	if err != nil {
		return where, err
	}
	if db.node, err = node.Start(ctx, node.Config{Dir: cfg.DataDir, Log: log, Peers: peers}); err != nil {
		return where, err
	}
	return rqlite.Embedded(db.node), nil
}

// peersOf is what makes the node a member; nil for a host that stands alone.
func peersOf(cfg databaseConfig) (*node.Peers, error) {
	if cfg.port == nil {
		return nil, nil
	}
	folder, err := trust.Open(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	sealingKey := func() ([]byte, error) { return os.ReadFile(filepath.Join(cfg.DataDir, sealingKeyFile)) }
	return &node.Peers{Folder: folder, Port: cfg.port, SealingKey: sealingKey}, nil
}

// openStore opens a store whose database may be away. A server that already knows
// something starts without it; another one waits.
func openStore(ctx context.Context, where rqlite.Config, known bool, log *slog.Logger) (*rqlite.Store, error) {
	for {
		store, err := rqlite.Open(ctx, where)
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

func (db *database) close() error {
	if db.node == nil {
		return nil
	}
	return db.node.Close()
}
