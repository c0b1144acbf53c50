package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/rqlite/node/trust"
)

// clusterPort is where the members of a cluster reach each other, unless they say
// otherwise.
const clusterPort = "4002"

func clusterFlags(flags *pflag.FlagSet) {
	flags.String("cluster-listen", ":"+clusterPort, "address to serve the other members of a cluster on, where this host is in one; see dragonfly cluster")
	flags.String("join", "", "join the cluster of the member that made this `token`, where this host is in none yet")
	flags.String("cluster-advertise", "", "with --join: host:port where the members reach this host (default: the address it reaches them from, port "+clusterPort+")")
}

func (c config) checkCluster() error {
	if c.ClusterListen != "" {
		if _, port, err := net.SplitHostPort(c.ClusterListen); err != nil || port == "" {
			return fmt.Errorf("cluster-listen %q: want host:port or :port", c.ClusterListen)
		}
	}
	switch {
	case c.Join != "" && c.Rqlite != "":
		return errors.New("join and rqlite are both set: the members of a cluster have their own database; choose one")
	case c.ClusterAddress != "" && c.Join == "":
		return errors.New("cluster-advertise is set and join is not: a host says where it is reached when it joins")
	}
	return nil
}

// listenCluster binds the cluster port of a host that is in a cluster; nil for
// another one.
func listenCluster(cfg config) (net.Listener, error) {
	if !trust.Exists(cfg.DataDir) {
		return nil, nil
	}
	if cfg.Rqlite != "" {
		return nil, fmt.Errorf("rqlite is set, and this host is in a cluster: take the setting away, or move %s/cluster away to use a database elsewhere", cfg.DataDir)
	}
	l, err := net.Listen("tcp", cfg.ClusterListen)
	if err != nil {
		_, text, _ := net.SplitHostPort(cfg.ClusterListen)
		port, _ := strconv.Atoi(text) // 0 finds no holder
		return nil, explainTaken(fmt.Errorf("cluster port: %w", err), "tcp", port)
	}
	return l, nil
}

// cluster is what the API says of the cluster; nil where the database is elsewhere.
func (db *database) cluster() api.Cluster {
	if db.node == nil {
		return nil
	}
	return db.node
}

// expiresSoon is when a certificate that was not renewed becomes the operator's
// problem.
const expiresSoon = 30 * 24 * time.Hour

// problems is what the operator should know of the cluster.
func (db *database) problems() (found []string) {
	if db.node == nil {
		return nil
	}
	members := db.node.Seen()
	if len(members) == 2 && members[0].Voter && members[1].Voter {
		found = append(found, "the cluster has two members, and needs both for every change: let a third host join")
	}
	for _, m := range members {
		called := m.Name
		if called == "" {
			called = m.ID
		}
		switch {
		case m.Self && !m.Voter:
			found = append(found, "this host is joining its cluster and does not vote yet; if that lasts, its log says why")
		case !m.Reachable:
			found = append(found, fmt.Sprintf("the member %s of the cluster (%s) is away: bring it back, or take it out with `dragonfly cluster remove %s`", called, m.Address, called))
		case time.Until(m.Expires) < expiresSoon:
			found = append(found, fmt.Sprintf("the certificate of the member %s ends on %s: restart it to renew it", called, m.Expires.Local().Format(time.DateOnly)))
		}
	}
	return found
}

// metrics is how the cluster looks from here.
func (db *database) metrics() []prometheus.Collector {
	count := func(name, help string, which func(registry.ClusterMember) bool) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			n := 0
			for _, m := range db.node.Seen() {
				if which(m) {
					n++
				}
			}
			return float64(n)
		})
	}
	if db.node == nil {
		return nil
	}
	return []prometheus.Collector{
		count("dragonfly_cluster_members", "Members of the cluster; 0 for a host that stands alone.", func(registry.ClusterMember) bool { return true }),
		count("dragonfly_cluster_members_reachable", "Members of the cluster that answer this one, with itself.", func(m registry.ClusterMember) bool { return m.Reachable }),
		count("dragonfly_cluster_leader", "1 on the member that leads the cluster.", func(m registry.ClusterMember) bool { return m.Self && m.Leader }),
	}
}

func clusterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Several hosts with one database, of which one may fail",
		Long: `Several hosts with one database, of which one may fail. Each runs dragonfly serve
with a part of the database in it, and each serves the UI, the API and boots. Of
three hosts one may be away, of five two; with two hosts both are needed.

  host 1:    dragonfly cluster init            (the service is stopped)
  host 2, 3: dragonfly cluster join TOKEN      (the service is stopped)
             dragonfly cluster status

What the hosts say to each other goes through one TCP port, ` + clusterPort + `, with TLS on both
sides. A host that is in no cluster opens no such port.`}
	cmd.AddCommand(clusterInitCommand(), clusterJoinCommand(), clusterRecoverCommand(), clusterTokenCommand(), clusterStatusCommand(), clusterRemoveCommand())
	return cmd
}

func clusterTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Print a token that lets one more host into the cluster", Args: cobra.NoArgs,
		Long: `Print a token that lets one more host into the cluster: see dragonfly cluster
join. It is good once, for a quarter of an hour, at the member that made it. Who
has it can read all that the cluster knows.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := control(cmd).ClusterToken(cmd.Context())
			if err != nil {
				return fmt.Errorf("make a join token: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), token.Token)
			fmt.Fprintf(cmd.ErrOrStderr(), "good once, until %s\n", moment(token.Expires))
			return nil
		},
	}
	controlFlags(cmd)
	return cmd
}

func clusterStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "List the members of the cluster", Args: cobra.NoArgs,
		Long: `List the members of the cluster, as the server that is asked sees them. -o name
prints their IDs.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := control(cmd).Cluster(cmd.Context())
			if err != nil {
				return fmt.Errorf("cluster status: %w", err)
			}
			if status.Mode != "cluster" {
				fmt.Fprintf(cmd.ErrOrStderr(), "this server is in no cluster: its database is %s\n", map[string]string{"alone": "its own", "remote": "elsewhere"}[status.Mode])
			}
			return printList(cmd, status.Members, columns[api.ClusterMember]{
				heads: []string{"NAME", "ID", "ADDRESS", "ROLE", "STATE", "CERTIFICATE UNTIL"},
				cells: func(m api.ClusterMember) []string {
					return []string{m.Name, m.ID, m.Address, clusterRole(m), clusterState(m), moment(m.Expires)}
				},
				name: func(m api.ClusterMember) string { return m.ID },
			})
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func clusterRole(m api.ClusterMember) string {
	switch {
	case m.Leader:
		return "leader"
	case m.Voter:
		return "follower"
	}
	return "joining"
}

func clusterState(m api.ClusterMember) string {
	switch {
	case m.Self:
		return "here"
	case m.Reachable:
		return "reachable"
	}
	return "away: " + strings.TrimSpace(m.Cause)
}

func clusterRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove MEMBER", Short: "Take a host out of the cluster, by its name, ID or address",
		Long: `Take a host out of the cluster, by its name, ID or address. The others stop to
speak to it at once; stop the service there. To join again it needs an empty data
directory and a new token.

It is refused where the others would be left without a majority that answers.`,
		Args: exactly(1, "the member to take out"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, "Take "+args[0]+" out of the cluster?"); err != nil {
				return err
			}
			err := control(cmd).RemoveMember(cmd.Context(), args[0])
			if api.Status(err) == http.StatusNotFound {
				return reworded{fmt.Errorf("the cluster has no member %s; see dragonfly cluster status", args[0]), err}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is out of the cluster; stop dragonfly there\n", args[0])
			return nil
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}
