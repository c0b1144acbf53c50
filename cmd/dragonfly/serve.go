package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dragonfly/boot/ipxe"
	"dragonfly/boot/metadata"
	"dragonfly/boot/sshkeys"
	"dragonfly/images/store"
	"dragonfly/registry"
	"dragonfly/registry/auth"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the appliance",
		Long: `Run the appliance: the database, the API, the UI and the files that machines
boot; with --boot also proxyDHCP and TFTP, beside the DHCP server that is there.

Every flag can also be set as DRAGONFLY_ and its name in capitals, such as
DRAGONFLY_DATA_DIR, or in the YAML file by its name. A flag beats the
environment, which beats the file, which beats the default.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, _ := cmd.Flags().GetString("config")
			cfg, err := loadConfig(cmd.Flags(), file, os.Environ())
			if err != nil {
				return usageError{err}
			}
			log, err := cfg.logger(os.Stderr)
			if err != nil {
				return usageError{err}
			}
			restore, err := node.Divert(log)
			if err != nil {
				return err
			}
			defer restore()
			return serve(cmd.Context(), cfg, log)
		},
	}
	serveFlags(cmd.Flags())
	cmd.Flags().String("config", os.Getenv(envPrefix+"CONFIG"), "YAML file (default "+defaultConfigFile+" where it exists; also DRAGONFLY_CONFIG)")
	return cmd
}

// serve runs the appliance until ctx ends or a part of it does. Every port is
// bound before anything is served.
func serve(ctx context.Context, cfg config, log *slog.Logger) (err error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w; run as root, or name another one with --data-dir", err)
		}
		return fmt.Errorf("data directory: %w", err)
	}
	if err := joinFirst(ctx, cfg, log); err != nil {
		return err
	}
	dropCopies(cfg.DataDir)
	ports, err := bind(cfg)
	if err != nil {
		return err
	}
	defer ports.close()
	standby, err := openStandby(cfg.DataDir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, standby.close()) }()
	db, err := openDatabase(ctx, databaseConfig{config: cfg, port: ports.cluster, known: standby.copy.Mark() != registry.Mark{}}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	a, err := newAppliance(ctx, cfg, db, standby, log)
	if err != nil {
		return err
	}
	a.ports = ports
	a.boot = a.newBootServers()
	a.registry.Resolve(new(neighbours).card)
	a.registry.Bound(cfg.MaxMachines)
	return a.run(ctx)
}

// appliance is every part, wired.
type appliance struct {
	cfg      config
	log      *slog.Logger
	ports    *ports
	boot     []*bootServer
	db       *database
	store    *rqlite.Store
	standby  *standby
	registry *registry.Registry
	images   *store.Store
	tokens   *auth.Tokens
	accounts *auth.Accounts
	sessions *auth.Sessions
	box      *auth.Box
	backups  *backups
	api      huma.API // set by router
	crowd    *crowd
	deployed *prometheus.HistogramVec // how long deployments took
	keys     sshkeys.Fetcher
	kube     *kube // nil: Tinkerbell is not used
	seeds    *metadata.Handler
	tink     *tinkListener

	httpBoots ipxe.Stats // what machines asked for below /boot/
}

func newAppliance(ctx context.Context, cfg config, db *database, standby *standby, log *slog.Logger) (*appliance, error) {
	box, err := auth.OpenBox(filepath.Join(cfg.DataDir, sealingKeyFile))
	if err != nil {
		return nil, err
	}
	kept := remembered{db.store, standby.copy, log}
	tokens, err := auth.NewTokens(ctx, auth.SealedSecrets{Secrets: kept, Box: box})
	if err != nil {
		return nil, err
	}
	accounts, err := auth.NewAccounts(kept, policy().Scopes()...)
	if err != nil {
		return nil, err
	}
	reg, err := registry.NewWithStandby(ctx, db.store, standby.forRegistry(), log)
	if err != nil {
		return nil, err
	}
	images, err := openImages(cfg, reg, reg.ImagesChanged, log)
	if err != nil {
		return nil, err
	}
	sessions := auth.NewSessions(accounts)
	if host, tls := strings.CutPrefix(cfg.PublicURL, "https://"); tls {
		sessions.BehindTLS(strings.TrimSuffix(host, "/"))
	}
	a := &appliance{cfg: cfg, log: log, db: db, store: db.store, standby: standby, registry: reg, images: images, box: box, crowd: newCrowd(), deployed: newDeployed(),
		tokens: tokens, accounts: accounts, sessions: sessions}
	a.keys.Client = &http.Client{Transport: outward()}
	a.seeds = metadata.New(seeds{a}, reg.Sight, log)
	if a.kube, err = cfg.dialTinkerbell(reg, log); err != nil {
		return nil, err
	}
	a.backups = &backups{a: a}
	a.tink = newTinkListener(a)
	tools, err := a.deployTools()
	reg.Equip(tools)
	return a, err
}

// stopWithin is how long requests may take to end when we stop; long polls and
// event streams are cut when it is over.
const stopWithin = time.Second

// run serves until ctx ends; the first part that ends stops all.
func (a *appliance) run(ctx context.Context) error {
	handler, err := a.routes()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.registry.Run(ctx) })
	group.Go(func() error { return a.images.Run(ctx) })
	group.Go(func() error {
		return a.serveHTTP(ctx, a.ports.http, &http.Server{Handler: handler, ConnState: a.crowd.watch, ConnContext: withConnection})
	})
	group.Go(func() error {
		return a.serveHTTP(ctx, a.ports.control, &http.Server{Handler: handler, ConnContext: auth.WithControlSocket})
	})
	if a.kube != nil {
		a.kube.run(ctx, group)
	}
	if a.ports.tink != nil {
		group.Go(func() error { return a.serveHTTP(ctx, a.ports.tink, a.tink.server()) })
	}
	for _, b := range a.boot {
		b.serve(ctx, group)
	}
	group.Go(func() error { return a.maintain(ctx) })
	group.Go(func() error { return tendHeap(ctx) })
	a.announce()
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	return group.Wait()
}

func (a *appliance) serveHTTP(ctx context.Context, l net.Listener, s *http.Server) error {
	s.ReadHeaderTimeout = 10 * time.Second
	s.IdleTimeout = 2 * time.Minute
	s.MaxHeaderBytes = 64 << 10
	s.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	err := s.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
}

// announce tells the operator and systemd that everything is up.
func (a *appliance) announce() {
	for _, b := range a.ports.boot {
		a.log.Info("answering network boots", "interface", b.on.Name, "address", b.on.Addr)
	}
	if a.ports.tink != nil {
		a.log.Info("serving Tink server's protocol", "address", a.ports.tink.Addr().String())
	}
	a.log.Info("ready", "http", a.ports.http.Addr().String(), "machines", a.registry.Count(), "version", version())
	for _, problem := range a.problems() {
		a.log.Warn(problem)
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+a.status())
}

// status is the line that `systemctl status` shows.
func (a *appliance) status() string {
	line := fmt.Sprintf("serving HTTP on %s, %s", a.ports.http.Addr(), registry.Counted(a.registry.Count(), "machine"))
	for _, on := range a.answering() {
		line += ", booting on " + on
	}
	if s, err := spaceOf(a.cfg.DataDir); err == nil && s.short() {
		line += ", DISK NEARLY FULL: " + s.String()
	}
	if o := a.registry.Outage(); !o.Since.IsZero() {
		line += ", DATABASE AWAY since " + o.Since.Local().Format("15:04:05")
	}
	return line
}

const (
	pruneEvery    = time.Hour
	operationsFor = 30 * 24 * time.Hour // longer than any retry of a write
)

// maintain feeds the watchdog of systemd, keeps the database from growing without
// bound, and has an eye on the disk.
func (a *appliance) maintain(ctx context.Context) error {
	watchdog := time.NewTicker(10 * time.Second)
	defer watchdog.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	short := a.spaceProblem() != "" // announce has said so
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watchdog.C:
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog+"\nSTATUS="+a.status())
			short = a.tellSpace(short)
		case <-prune.C:
			if err := a.store.Prune(ctx, time.Now().Add(-operationsFor)); err != nil {
				a.log.Warn("prune the database", "err", err)
			}
		}
	}
}
