package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/auth"
	"dragonfly/registry/journal"
	"dragonfly/registry/rqlite/node"
	"dragonfly/registry/rqlite/node/trust"
)

func clusterInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", Short: "Make this host the first member of a cluster", Args: cobra.NoArgs,
		Long: `Make this host the first member of a cluster. It keeps what it has; the service
must be stopped, and is a member at its next start. Prints a token for the next
host.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir, address, err := beginning(cmd, "")
			if err != nil {
				return err
			}
			folder, err := trust.Found(dataDir, hostName(), address)
			if err != nil {
				return err
			}
			token, expires, err := folder.Invite()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "This host is the first member of a cluster; the others reach it at %s.\n"+
				"Start the service here, then let the next host in until %s:\n\n  dragonfly cluster join TOKEN\n\nwith this token; `dragonfly cluster token` makes others:\n\n", address, moment(expires))
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	beginFlags(cmd)
	return cmd
}

func clusterJoinCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "join TOKEN", Short: "Make this host a member of the cluster that made the token",
		Long: `Make this host a member of the cluster that made the token. The service must be
stopped; at its next start it fetches the data and is a member. A host that knows
machines of its own is refused, since those would be lost.`,
		Args: exactly(1, "a token of `dragonfly cluster token`"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dataDir, address, err := beginning(cmd, args[0])
			if err != nil {
				return err
			}
			if err := join(cmd.Context(), trust.Joiner{DataDir: dataDir, Token: args[0], Name: hostName(), Address: address}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "this host is let in, as %s at %s; start the service within a day\n", hostName(), address)
			return nil
		},
	}
	beginFlags(cmd)
	return cmd
}

func clusterRecoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recover", Short: "Go on with this host alone, when most of the cluster is lost for good", Args: cobra.NoArgs,
		Long: `Go on with this host alone, when most of the cluster is lost for good: it becomes
the only member, with the data it has. The service must be stopped; others can
join again after its next start.

What was acknowledged by the others and had not reached this host is lost. A host
that is cut off here and comes back would go on by itself: make sure that the
others stay off, and empty their data directories before they join.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir, err := stopped(cmd)
			if err != nil {
				return err
			}
			folder, err := trust.Open(dataDir)
			if err != nil {
				return err
			}
			if err := confirm(cmd, "Are the other members lost for good, and off?"); err != nil {
				return err
			}
			if err := node.Recover(dataDir, folder); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "this host is the only member from its next start on; start the service")
			return nil
		},
	}
	yesFlag(cmd)
	dataDirFlag(cmd)
	return cmd
}

func beginFlags(cmd *cobra.Command) {
	dataDirFlag(cmd)
	cmd.Flags().String("advertise", "", "host:port where the other members reach this host (default: its address, port "+clusterPort+")")
}

// dataDirFlag is for what is done to a data directory while nothing runs on it.
func dataDirFlag(cmd *cobra.Command) {
	dir := os.Getenv(envPrefix + "DATA_DIR")
	if dir == "" {
		dir = defaultDataDir
	}
	cmd.Flags().String("data-dir", dir, "data directory of the appliance (also DRAGONFLY_DATA_DIR)")
}

// beginning is the data directory and the address of a host that becomes a member.
// token is the one to join with, if any.
func beginning(cmd *cobra.Command, token string) (dataDir, address string, err error) {
	address, _ = cmd.Flags().GetString("advertise")
	if address, err = advertised(address, token); err != nil {
		return "", "", usageError{err}
	}
	dataDir, err = stopped(cmd)
	return dataDir, address, err
}

// stopped is the data directory, on which nothing runs. From then on this process
// is its owner's, so that the service can read what is written.
func stopped(cmd *cobra.Command) (dataDir string, err error) {
	dataDir, _ = cmd.Flags().GetString("data-dir")
	if conn, err := net.Dial("unix", filepath.Join(dataDir, socketName)); err == nil {
		conn.Close()
		return "", fmt.Errorf("dragonfly runs with data directory %s: stop it first (systemctl stop dragonfly)", dataDir)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	return dataDir, becomeOwner(dataDir)
}

// becomeOwner turns root into the user whose directory it is.
func becomeOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(int(owner.Gid)), syscall.Setuid(int(owner.Uid)))
	if err != nil {
		return fmt.Errorf("become the owner of %s: %w", dir, err)
	}
	return nil
}

// advertised completes the address where the other members reach this host. It is
// found out where there is one only: the one from which the maker of the token is
// reached, or that of the one interface that has any.
func advertised(address, token string) (string, error) {
	if address != "" {
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, clusterPort)
		}
		return address, trust.CheckAddress(address)
	}
	if token != "" {
		maker, err := trust.TokenAddress(token)
		if err != nil {
			return "", err
		}
		conn, err := net.Dial("udp", maker) // sends nothing
		if err != nil {
			return "", fmt.Errorf("find the way to %s: %w; name this host's address with --advertise", maker, err)
		}
		defer conn.Close()
		host, _, err := net.SplitHostPort(conn.LocalAddr().String())
		return net.JoinHostPort(host, clusterPort), err
	}
	hosts, err := ownAddresses()
	if err != nil || len(hosts) != 1 {
		return "", errors.Join(err, fmt.Errorf("this host has the addresses %v: say with --advertise HOST:PORT where the other members reach it", hosts))
	}
	return net.JoinHostPort(hosts[0], clusterPort), nil
}

// ownAddresses lists the IPv4 addresses that others may reach this host at.
func ownAddresses() (found []string, err error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			found = append(found, n.IP.String())
		}
	}
	return found, err
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// joinFirst joins the cluster that the configuration says, at the first start.
func joinFirst(ctx context.Context, cfg config, log *slog.Logger) error {
	if cfg.Join == "" || trust.Exists(cfg.DataDir) {
		return nil
	}
	address, err := advertised(cfg.ClusterAddress, cfg.Join)
	if err != nil {
		return err
	}
	log.Info("joining a cluster", "as", hostName(), "address", address)
	return join(ctx, trust.Joiner{DataDir: cfg.DataDir, Token: cfg.Join, Name: hostName(), Address: address})
}

// join makes this host a member, unless that would lose something. What it had is
// set aside.
func join(ctx context.Context, j trust.Joiner) error {
	if trust.Exists(j.DataDir) {
		return fmt.Errorf("join: this host is in a cluster already; `dragonfly cluster status` shows it once the service runs")
	}
	if err := mayLeave(ctx, j.DataDir); err != nil {
		return err
	}
	_, err := j.Join(ctx, func(sealingKey []byte) error { return takeOver(j.DataDir, sealingKey) })
	return err
}

// mayLeave errs when this host knows machines that no other does.
func mayLeave(ctx context.Context, dataDir string) error {
	waiting, err := journal.Open(journal.Config{Dir: filepath.Join(dataDir, "journal"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	records := waiting.Stats().Records
	if err := waiting.Close(); err != nil {
		return err
	}
	if records > 0 {
		return fmt.Errorf("join: the journal of this host has %d registrations that its database has not taken yet: start the service to apply them first", records)
	}
	if !node.HasData(dataDir) {
		return nil
	}
	log := slog.New(slog.DiscardHandler)
	db, err := openDatabase(ctx, databaseConfig{config: config{DataDir: dataDir}}, log)
	if err != nil {
		return err
	}
	machines, err := db.store.Machines(ctx, registry.Query{Brief: true})
	if err := errors.Join(err, db.close()); err != nil {
		return err
	}
	if len(machines) > 0 {
		return fmt.Errorf("join: this host knows %s of its own, which it would forget: begin the cluster here instead, or move %s/rqlite and %[2]s/lastknown.db away to give up what it knows", registry.Counted(len(machines), "machine"), dataDir)
	}
	return nil
}

// takeOver sets aside what this host had of its own and keeps the cluster's key.
func takeOver(dataDir string, sealingKey []byte) error {
	if node.HasData(dataDir) {
		if _, err := node.SetAside(dataDir); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dataDir, "lastknown.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return auth.ReplaceKey(filepath.Join(dataDir, sealingKeyFile), sealingKey)
}
