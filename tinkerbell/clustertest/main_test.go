package clustertest

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinkerbell/tinkerbell/crd"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
	"dragonfly/tinkerbell/cluster"
	"dragonfly/tinkerbell/objects"
)

// server is the API server that all tests use, each in a namespace of its own, and api
// what reaches it.
var (
	server *Server
	api    *rest.Config
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "apiserver")
	if err != nil {
		panic(err)
	}
	if server, err = Start(dir); err == nil {
		api = server.Config
		err = install(api)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
		server.Stop()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

var kinds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// install has the API server serve Tinkerbell's own CRDs.
func install(config *rest.Config) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for name, text := range crd.TinkerbellDefaults {
		if err := define(ctx, client, text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, kind := range []schema.GroupVersionResource{cluster.Hardware, cluster.Template, cluster.Workflow} {
		if err := served(ctx, client, kind); err != nil {
			return err
		}
	}
	return nil
}

// define makes a kind from its CRD.
func define(ctx context.Context, client dynamic.Interface, text []byte) error {
	object := map[string]any{}
	if err := yaml.Unmarshal(text, &object); err != nil {
		return err
	}
	_, err := client.Resource(kinds).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	return err
}

// served waits until the objects of a kind can be listed.
func served(ctx context.Context, client dynamic.Interface, kind schema.GroupVersionResource) error {
	for {
		_, err := client.Resource(kind).Namespace("default").List(ctx, metav1.ListOptions{})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// bench is a registry, a provisioner and a namespace.
type bench struct {
	*testing.T
	store     *pulled
	registry  *registry.Registry
	hands     *cluster.Provisioner
	client    dynamic.Interface
	namespace string
	stop      func()       // the provisioner
	begin     func()       // another one
	later     atomic.Int64 // nanoseconds that its clock is ahead
	tools     registry.Tools
	data      atomic.Pointer[string] // what the recipe has in it beside what it always has
}

type plainSealer struct{}

func (plainSealer) Seal(_, secret string) string          { return secret }
func (plainSealer) Open(_, sealed string) (string, error) { return sealed, nil }

const recipe = `version: "0.1"
name: linux
global_timeout: 1800
tasks:
- name: install
  worker: "%s"
  actions:
  - {name: write, image: x/image2disk:v1, timeout: 600, environment: {PASSWORD: "{{ secret }}", DATA: "%s"}}
  - {name: restart, image: x/reboot:v1, timeout: 60}
`

func (b *bench) render(text string, m registry.Machine, _ map[string]string) (registry.Rendered, error) {
	origin := "# " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n# ") + "\n"
	return registry.Rendered{Text: origin + fmt.Sprintf(recipe, m.BootMAC(), *b.data.Load()), Timeout: 30 * time.Minute, Actions: []registry.RecipeAction{
		{Name: "write", Image: "x/image2disk:v1", Timeout: 600}, {Name: "restart", Image: "x/reboot:v1", Timeout: 60}}}, nil
}

// newBench begins a provisioner that reaches the API server as config says.
func newBench(t *testing.T, config *rest.Config, namespace string) *bench {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store := &pulled{Store: registrytest.Memory()}
	r, err := registry.New(t.Context(), store, log)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, store: store, registry: r, namespace: namespace}
	b.data.Store(new(string))
	b.tools = registry.Tools{Sealer: plainSealer{}, Templates: map[string]string{"image": "image"}, Render: b.render,
		Engines: []registry.Engine{registry.EngineTinkerbell}, Engine: registry.EngineTinkerbell,
		Catalogue: []registry.OS{{ID: "linux", Template: "image", FirstBoot: registry.FirstBootNone, Images: map[string]registry.OSImage{"amd64": {URL: "http://x/linux.raw"}}}},
		Limits:    registry.DeployLimits{Wait: 30 * time.Minute, Verify: 20 * time.Minute},
		Server:    func(registry.Machine) (string, error) { return "http://10.0.0.2:3000", nil }}
	r.Equip(b.tools)
	if b.client, err = dynamic.NewForConfig(api); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	b.begin = func() { b.provide(config, log) }
	b.begin()
	t.Cleanup(func() { b.stop(); cancel(); <-done })
	return b
}

// provide runs a provisioner.
func (b *bench) provide(config *rest.Config, log *slog.Logger) {
	c, err := cluster.Dial(config, b.namespace)
	if err != nil {
		b.Fatal(err)
	}
	monitor := cluster.NewMonitor(c, log)
	networks := func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} }
	hands, err := cluster.NewProvisioner(monitor, b.registry, networks, log)
	if err != nil {
		b.Fatal(err)
	}
	b.hands = hands
	hands.Now = func() time.Time { return time.Now().Add(time.Duration(b.later.Load())) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- monitor.Run(ctx) }()
	go func() { done <- hands.Run(ctx) }()
	b.stop = func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
		b.stop = func() {}
	}
}

// machine registers the nth machine.
func (b *bench) machine(n int) registry.Machine {
	b.Helper()
	mac := registry.MAC{2, 0, 0, 0, byte(n >> 8), byte(n)}
	m, _, err := b.registry.Register(b.Context(), registry.Registration{MAC: mac, MACs: []registry.MAC{mac}, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}),
		Hardware: registry.Hardware{CPU: registry.CPU{Arch: "amd64"}, Disks: []registry.Disk{{Name: "sda", Serial: "S1", Model: "ACME", Bytes: 8e9, Contents: registry.Blank}}}})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func (b *bench) deploy(machine string) registry.Deployment {
	b.Helper()
	plan, err := b.registry.Deploy(b.Context(), machine, registry.DeployRequest{OS: "linux", Confirm: "S1"}, registry.Batch{})
	if err != nil {
		b.Fatal(err)
	}
	return plan.Deployment
}

// eventually waits for something, or fails with how it is.
func (b *bench) eventually(what string, is func() (string, bool)) {
	b.Helper()
	last := ""
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		how, ok := is()
		if ok {
			return
		}
		last = how
	}
	b.Fatalf("%s: %s", what, last)
}

// comesTo waits until a deployment is in a state, with a reason.
func (b *bench) comesTo(id string, state registry.DeploymentState) (d registry.Deployment) {
	b.Helper()
	b.eventually("the deployment is "+string(state), func() (string, bool) {
		var err error
		d, err = b.registry.Deployment(b.Context(), id)
		return fmt.Sprint(d.State, " ", d.Reason, " ", err), d.State == state
	})
	return d
}

// object is one in the namespace; nil: it is not there.
func (b *bench) object(kind schema.GroupVersionResource, name string) *unstructured.Unstructured {
	u, err := b.client.Resource(kind).Namespace(b.namespace).Get(b.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return u
}

// appears waits until an object is there.
func (b *bench) appears(kind schema.GroupVersionResource, name string) (u *unstructured.Unstructured) {
	b.Helper()
	b.eventually(name+" appears", func() (string, bool) { u = b.object(kind, name); return "it is not there", u != nil })
	return u
}

// vanishes waits until one is not.
func (b *bench) vanishes(kind schema.GroupVersionResource, name string) {
	b.Helper()
	b.eventually(name+" vanishes", func() (string, bool) { return "it is there", b.object(kind, name) == nil })
}

// workflowOf is the Workflow of a deployment, once it is there.
func (b *bench) workflowOf(d registry.Deployment) string {
	b.Helper()
	name := objects.Order{Deployment: d, Attempt: 1}.WorkflowName()
	b.appears(cluster.Workflow, name)
	return name
}

// controller plays the part of Tinkerbell's: it writes a status as JSON.
func (b *bench) controller(workflow, status string) {
	b.Helper()
	_, err := b.client.Resource(cluster.Workflow).Namespace(b.namespace).Patch(b.Context(), workflow, types.MergePatchType,
		[]byte(`{"status":`+status+`}`), metav1.PatchOptions{}, "status")
	if err != nil {
		b.Fatal(err)
	}
}

// actions is a status with a state, and the states of the two actions.
func actions(state, write, restart string) string {
	return fmt.Sprintf(`{"state":%q,"templateRendering":"successful","currentState":{"actionID":"a"},"tasks":[{"id":"t","name":"install","agentID":"x","actions":[
		{"id":"a","name":"write","image":"x/image2disk:v1","timeout":600,"state":%q,"message":"action completed"},{"id":"b","name":"restart","image":"x/reboot:v1","timeout":60,"state":%q}]}]}`, state, write, restart)
}

// mayPXE reports whether the machine's Hardware may boot from the network.
func (b *bench) mayPXE(machine string) bool {
	u := b.object(cluster.Hardware, machine)
	if u == nil {
		return false
	}
	text, err := u.MarshalJSON()
	return err == nil && strings.Contains(string(text), `"allowPXE":true`)
}
