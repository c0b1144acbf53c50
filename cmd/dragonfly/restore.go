package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/auth"
	"dragonfly/registry/backup"
	"dragonfly/registry/durable"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
)

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty data directory from a backup", Args: exactly(1, "the file of a backup"),
		Long: `Fill an empty data directory from a backup of dragonfly backup; then dragonfly serve starts
with everything that was in it: machines, history, accounts, and secrets, with the key
to them. The service must be stopped. The directory may have a folder "images", and
nothing else of an appliance; a backup of a newer dragonfly, or one that is damaged, is
refused, and nothing is changed.

Deployments that were under way are cancelled: what became of them since the backup is
not known, and no disk is written for a wish that may have been fulfilled. Accounts,
tokens and sessions are those of the backup: what was withdrawn since has to be
withdrawn again.

Of a cluster one host is restored, which then stands alone: dragonfly cluster init makes
it the first member, and the others join with empty data directories. For a database in
an rqlite elsewhere, load database.sqlite there (its own docs say how), and put
secrets.key into the data directory.`,
		Example: `  dragonfly restore dragonfly-rack1-20261127T120000Z.tar.zst --data-dir /var/lib/dragonfly
  dragonfly restore dragonfly-rack1-20261127T120000Z.tar.zst --check`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := restoreFrom(cmd, args[0]); err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().Bool("check", false, "only read all of the backup, and say what is in it")
	dataDirFlag(cmd)
	return cmd
}

func restoreFrom(cmd *cobra.Command, name string) error {
	file, err := os.Open(name) // first: the owner of the directory may not read it
	if err != nil {
		return err
	}
	defer file.Close()
	if check, _ := cmd.Flags().GetBool("check"); check {
		m, err := backup.Read(file, nil)
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "whole: %s, by dragonfly %s, schema %d\n", holds(m), m.Version, m.Schema)
		}
		return err
	}
	dataDir, err := stopped(cmd)
	if err != nil {
		return err
	}
	if err := mustBeEmpty(dataDir); err != nil {
		return err
	}
	r := restoring{dir: dataDir}
	if err := r.run(cmd.Context(), file); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is restored: %s\n", dataDir, holds(r.manifest))
	for _, d := range r.cancelled {
		fmt.Fprintf(cmd.OutOrStdout(), "cancelled, since it was under way: %s\n", d)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Start the service. Make sure that the appliance it was copied from stays off: two would answer the same machines.")
	return nil
}

// besides are what a data directory may have that is to be restored.
var besides = []string{"images", "lost+found"}

func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(besides, e.Name()) && !strings.HasPrefix(e.Name(), stagePrefix) {
			return usageError{fmt.Errorf("%s is not empty: it has %q; name another directory, or move that away", dir, e.Name())}
		}
	}
	return nil
}

// stagePrefix begins the name of the folder in a data directory in which it is made
// what it is to be.
const stagePrefix = ".restore-"

// restoring fills a data directory.
type restoring struct {
	dir       string
	stage     string // a folder in dir
	manifest  backup.Manifest
	cancelled []string // deployments
}

// run makes everything in a folder of its own, and gives it its place when all of it is
// right.
func (r *restoring) run(ctx context.Context, from io.Reader) (err error) {
	if r.stage, err = os.MkdirTemp(r.dir, stagePrefix); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.stage)) }()
	if r.manifest, err = backup.Read(from, r.unpack); err != nil {
		return err
	}
	if known := rqlite.Schema(); r.manifest.Schema > known {
		return fmt.Errorf("its database has schema %d and this program knows %d: it is of a newer dragonfly (%s); use that one", r.manifest.Schema, known, r.manifest.Version)
	}
	if _, err := node.Inspect(ctx, filepath.Join(r.stage, backup.Database)); err != nil {
		return err
	}
	if err := r.revive(ctx); err != nil {
		return err
	}
	return r.move()
}

func (r *restoring) unpack(f backup.File, from io.Reader) error {
	file, err := os.OpenFile(filepath.Join(r.stage, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Sync(), file.Close())
}

// revive starts a node with the database, looks whether the key is that of its secrets,
// and ends what was under way.
func (r *restoring) revive(ctx context.Context) (err error) {
	box, err := auth.OpenBox(filepath.Join(r.stage, backup.SealingKey))
	if err != nil {
		return err
	}
	database, err := os.Open(filepath.Join(r.stage, backup.Database))
	if err != nil {
		return err
	}
	defer database.Close()
	quiet, err := node.Divert(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer quiet()
	n, err := node.Start(ctx, node.Config{Dir: r.stage})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.Load(database); err != nil {
		return err
	}
	store, err := rqlite.Open(ctx, rqlite.Embedded(n))
	if err != nil {
		return err
	}
	if _, err := auth.NewTokens(ctx, auth.SealedSecrets{Secrets: store, Box: box}); err != nil {
		return err
	}
	return r.settle(ctx, store)
}

// settle cancels what was under way when the backup was taken.
func (r *restoring) settle(ctx context.Context, store *rqlite.Store) error {
	reg, err := registry.New(ctx, store, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var open []registry.DeploymentState
	for _, s := range registry.DeploymentStates() {
		if !s.Ended() {
			open = append(open, s)
		}
	}
	found, err := reg.Deployments(ctx, registry.DeploymentQuery{States: open})
	if err != nil {
		return err
	}
	taken := r.manifest.At.UTC().Format(time.RFC3339)
	ctx = registry.WithActor(ctx, registry.Actor{Name: "the restore of the backup of " + taken, Role: string(registry.Admin), From: "console"})
	for _, d := range found {
		if _, err := reg.Cancel(ctx, d.ID); err != nil {
			return err
		}
		r.cancelled = append(r.cancelled, d.ID)
	}
	reg.Note(ctx, "backup.restore", "backup/"+taken, map[string]any{"machines": r.manifest.Machines, "cancelled": len(found), "version": version()})
	return nil
}

// move gives what was made its place: the database last, since it is what says that the
// directory is one of an appliance.
func (r *restoring) move() error {
	for _, name := range []string{sealingKeyFile, "rqlite"} {
		to := filepath.Join(r.dir, name)
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s has come about meanwhile", to)
		}
		if err := os.Rename(filepath.Join(r.stage, name), to); err != nil {
			return err
		}
	}
	return durable.SyncDir(r.dir)
}
