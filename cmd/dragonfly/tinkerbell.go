package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dragonfly/tinkerbell/cluster"
	"dragonfly/ui"
)

func tinkerbellFlags(flags *pflag.FlagSet) {
	flags.String("tinkerbell", string(cluster.Auto), "whether the Kubernetes API of Tinkerbell is connected to and checked: on, off, or auto, which is on where a kubeconfig is named and in a pod")
	flags.String("kubeconfig", "", "`file` that says where the Kubernetes API of Tinkerbell is (also KUBECONFIG; default: the service account of the pod)")
	flags.String("kube-context", "", "context of the kubeconfig (default: its current one)")
	flags.String("kube-namespace", "", "namespace of Tinkerbell's objects (default: that of the context or of the pod, else "+cluster.DefaultNamespace+")")
}

// dialTinkerbell is the connection to the cluster that has Tinkerbell; nil where none is
// named, or it is not wanted.
func (c config) dialTinkerbell(log *slog.Logger) (*kube, error) {
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
	return &kube{dialed, cluster.NewMonitor(dialed, log)}, nil
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
	return []prometheus.Collector{
		gauge("dragonfly_tinkerbell_up", "1 while Tinkerbell's API is reachable, complete, and lets us do what is needed.", func(h cluster.Health) float64 {
			if h.Good() {
				return 1
			}
			return 0
		}),
		gauge("dragonfly_tinkerbell_missing_permissions", "Permissions that are needed and not there.", func(h cluster.Health) float64 { return float64(len(h.Missing)) }),
		gauge("dragonfly_tinkerbell_answer_seconds", "How long the API took for its first answer when it was looked at last.", func(h cluster.Health) float64 { return h.Took.Seconds() }),
	}
}

// kube is the connection to Tinkerbell.
type kube struct {
	cluster *cluster.Cluster
	watch   *cluster.Monitor
}

func tinkerbellCommand() *cobra.Command {
	command := &cobra.Command{Use: "tinkerbell", Short: "Tinkerbell in Kubernetes: what Dragonfly needs there"}
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
	command.AddCommand(rbac)
	return command
}
