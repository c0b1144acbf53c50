package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Mode is whether deployments are handed to Tinkerbell.
type Mode string

// The modes.
const (
	Auto Mode = "auto" // where a Kubernetes API is named, or this is a pod
	On   Mode = "on"
	Off  Mode = "off"
)

// ParseMode is the mode that a text names.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case Auto, On, Off:
		return m, nil
	}
	return "", fmt.Errorf("tinkerbell %q: want auto, on or off", text)
}

// Where says which Kubernetes API has Tinkerbell's objects.
type Where struct {
	Kubeconfig string // file, or several as in KUBECONFIG; empty: the service account of the pod
	Context    string // of the kubeconfig; empty: its current one
	Namespace  string // of the objects; empty: that of the context or the pod
}

const (
	// DefaultNamespace is where the objects are, where nothing says so.
	DefaultNamespace = "tinkerbell"
	namespaceFile    = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// ErrNowhere is that no Kubernetes API was named, and this is no pod of one.
var ErrNowhere = errors.New("no Kubernetes API is named, and this is no pod that has one: set --kubeconfig or KUBECONFIG")

// Find is the configuration of the connection, with the namespace of the objects. It
// connects to nothing. It errs with [ErrNowhere], or says what is wrong with the
// kubeconfig.
func Find(w Where) (config *rest.Config, namespace string, err error) {
	if w.Kubeconfig == "" {
		config, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, "", ErrNowhere
		}
		if err != nil {
			return nil, "", fmt.Errorf("service account of the pod: %w", err)
		}
		inside, _ := os.ReadFile(namespaceFile)
		return config, cmp.Or(w.Namespace, strings.TrimSpace(string(inside)), DefaultNamespace), nil
	}
	files := filepath.SplitList(w.Kubeconfig)
	for _, file := range files {
		if _, err := os.Stat(file); err != nil && (len(files) == 1 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, "", fmt.Errorf("kubeconfig: %w", err)
		}
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{Precedence: files}, &clientcmd.ConfigOverrides{CurrentContext: w.Context})
	if config, err = loader.ClientConfig(); err != nil {
		return nil, "", fmt.Errorf("kubeconfig %s: %w", w.Kubeconfig, err)
	}
	ours, named, err := loader.Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %s: %w", w.Kubeconfig, err)
	}
	if !named && ours == "default" { // nothing names one
		ours = ""
	}
	return config, cmp.Or(w.Namespace, ours, DefaultNamespace), nil
}

// Cluster is a connection to a Kubernetes API. Nothing is sent before it is used, and
// it outlives any outage.
type Cluster struct {
	Host      string // URL of the API
	Namespace string // of the objects

	objects dynamic.Interface
	plain   *plainClient
}

// How many requests a second are sent at most, and how many at once after a pause.
const (
	requestsPerSecond = 100
	burst             = 200
)

// Dial makes a connection. The error is about the configuration: whether anybody
// answers is for [Cluster.Check].
func Dial(config *rest.Config, namespace string) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst, config.UserAgent = requestsPerSecond, burst, "dragonfly"
	config.WarningHandler = rest.NoWarnings{}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", config.Host, err)
	}
	objects, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", config.Host, err)
	}
	return &Cluster{Host: config.Host, Namespace: namespace, objects: objects, plain: &plainClient{config, client}}, nil
}
