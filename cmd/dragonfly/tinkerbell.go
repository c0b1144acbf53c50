package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/ui"
)

func tinkerbellFlags(flags *pflag.FlagSet) {
	flags.String("tinkerbell", string(cluster.Auto), "whether the Kubernetes API of Tinkerbell is connected to and checked: on, off, or auto, which is on where a kubeconfig is named and in a pod")
	flags.String("kubeconfig", "", "`file` that says where the Kubernetes API of Tinkerbell is (also KUBECONFIG; default: the service account of the pod)")
	flags.String("kube-context", "", "context of the kubeconfig (default: its current one)")
	flags.String("engine", string(registry.EngineBuiltin), "what carries out deployments where neither they nor their operating system say: builtin, or tinkerbell")
	flags.String("kube-namespace", "", "namespace of Tinkerbell's objects (default: that of the context or of the pod, else "+cluster.DefaultNamespace+")")
}

// dialTinkerbell is the connection to the cluster that has Tinkerbell; nil where none is
// named, or it is not wanted.
func (c config) dialTinkerbell(reg *registry.Registry, log *slog.Logger) (*kube, error) {
	if c.Tinkerbell == "" || c.Tinkerbell == string(cluster.Off) {
		return nil, nil
	}
	found, namespace, err := cluster.Find(cluster.Where{Kubeconfig: c.Kubeconfig, Context: c.KubeContext, Namespace: c.KubeNamespace})
	if errors.Is(err, cluster.ErrNowhere) && c.Tinkerbell == string(cluster.Auto) {
		return nil, nil
	}
	var dialed *cluster.Cluster
	if err == nil {
		dialed, err = cluster.Dial(found, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to Tinkerbell: %w; --tinkerbell off goes on without it", err)
	}
	watch := cluster.NewMonitor(dialed, log)
	hands, err := cluster.NewProvisioner(watch, reg, localNetworks, log)
	return &kube{dialed, watch, hands}, err
}

// tinkerbellProblem is what keeps Tinkerbell from being used; empty where nothing does,
// or where it is used only if it is there, and is not.
func (a *appliance) tinkerbellProblem() string {
	if a.kube == nil {
		return ""
	}
	h := a.kube.watch.Health()
	if h.Problem == "" || h.Absent && a.cfg.Tinkerbell == string(cluster.Auto) {
		return ""
	}
	return "Tinkerbell at " + a.kube.cluster.Host + ": " + h.Problem
}

// tinkerbellCheck is how the cluster is, for the page of the health.
func (a *appliance) tinkerbellCheck() ui.Check {
	if a.kube == nil {
		return ui.Check{Title: "Tinkerbell", Off: true, Word: "not used: no Kubernetes API is named with --kubeconfig"}
	}
	h := a.kube.watch.Health()
	c := ui.Check{Title: "Tinkerbell", Good: a.tinkerbellProblem() == "", Word: h.Problem}
	switch {
	case h.At.IsZero():
		c.Word = "being looked at"
	case h.Problem == "":
		c.Word = "reachable, with every permission that is needed"
	}
	if h.Note != "" {
		c.Word = "reachable; " + h.Note
	}
	c = with(with(c, "Kubernetes API", a.kube.cluster.Host), "Namespace", a.kube.cluster.Namespace)
	if h.Version != "" {
		c = with(c, "Kubernetes", h.Version+", answered within "+h.Took.Round(time.Millisecond).String())
	}
	if len(h.Versions) > 0 {
		c = with(c, "tinkerbell.org", strings.Join(h.Versions, ", "))
		c = with(c, "bmc.tinkerbell.org", map[bool]string{true: "there", false: "not there"}[h.BMC])
	}
	for _, permission := range h.Missing {
		c = with(c, "May not", permission)
	}
	if !h.At.IsZero() {
		c = with(c, "Looked at", h.At.Local().Format("15:04:05"))
	}
	return c
}

// kubeMetrics is how the cluster is, as numbers.
func kubeMetrics(k *kube) []prometheus.Collector {
	gauge := func(name, help string, value func(cluster.Health) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(k.watch.Health()) })
	}
	counter := func(name, help string, value *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value.Load()) })
	}
	return []prometheus.Collector{
		gauge("dragonfly_tinkerbell_up", "1 while Tinkerbell's API is reachable, complete, and lets us do what is needed.", func(h cluster.Health) float64 {
			if h.Good() {
				return 1
			}
			return 0
		}),
		gauge("dragonfly_tinkerbell_missing_permissions", "Permissions that are needed and not there.", func(h cluster.Health) float64 { return float64(len(h.Missing)) }),
		counter("dragonfly_tinkerbell_handed_over_total", "Deployments that were handed over to Tinkerbell.", &k.hands.Stats.HandedOver),
		counter("dragonfly_tinkerbell_reports_total", "Changes of actions that Tinkerbell told of.", &k.hands.Stats.Reports),
		counter("dragonfly_tinkerbell_retries_total", "Machines whose objects have to be looked at again, after an error.", &k.hands.Stats.Retries),
		counter("dragonfly_tinkerbell_removed_total", "Objects that were removed, as their machine was deleted.", &k.hands.Stats.Removed),
		counter("dragonfly_tinkerbell_watch_errors_total", "Watches that broke; each was begun anew.", &k.hands.Stats.WatchErrors),
		gauge("dragonfly_tinkerbell_answer_seconds", "How long the API took for its first answer when it was looked at last.", func(h cluster.Health) float64 { return h.Took.Seconds() }),
	}
}

// kube is the connection to Tinkerbell.
type kube struct {
	cluster *cluster.Cluster
	watch   *cluster.Monitor
	hands   *cluster.Provisioner
}

// run keeps an eye on Tinkerbell, and hands deployments over.
func (k *kube) run(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { return k.watch.Run(ctx) })
	group.Go(func() error { return k.hands.Run(ctx) })
}

// engines are what carries deployments out beside the agent.
func (a *appliance) engines() []registry.Engine {
	if a.kube == nil {
		return nil
	}
	return []registry.Engine{registry.EngineTinkerbell}
}

// clusterTemplate reads Templates of the cluster; nil: there is none.
func (a *appliance) clusterTemplate() func(string) (string, error) {
	if a.kube == nil {
		return nil
	}
	return a.kube.hands.Template
}

// localNetworks are those that this host is on.
func localNetworks() (all []netip.Prefix) {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLoopback() {
			all = append(all, prefix.Masked())
		}
	}
	return all
}

func tinkerbellCommand() *cobra.Command {
	command := &cobra.Command{Use: "tinkerbell", Short: "Tinkerbell in Kubernetes: what Dragonfly needs there, and machines that it has"}
	rbac := &cobra.Command{
		Use: "rbac", Short: "Print the service account and the role that Dragonfly needs", Args: cobra.NoArgs,
		Long: `Print a ServiceAccount, a Role and a RoleBinding that allow what Dragonfly does in one
namespace, and nothing else: it reads, watches, creates, changes and deletes Hardware,
Templates and Workflows. Nothing is asked of the cluster, and nothing changed.`,
		Example: `  dragonfly tinkerbell rbac --namespace tinkerbell | kubectl apply -f -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			namespace, _ := cmd.Flags().GetString("namespace")
			bmc, _ := cmd.Flags().GetBool("bmc")
			text, err := cluster.RBAC(namespace, bmc)
			if err != nil {
				return usageError{fmt.Errorf("print the role: %w", err)}
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	rbac.Flags().String("namespace", cluster.DefaultNamespace, "namespace that has Tinkerbell's objects")
	rbac.Flags().Bool("bmc", false, "also what is needed of Rufio's machines (bmc.tinkerbell.org), by which Tinkerbell powers machines on")
	command.AddCommand(rbac, adoptCommand(), templatesCommand())
	return command
}
