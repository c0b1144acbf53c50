package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"

	"github.com/go-logr/logr"
	"github.com/tinkerbell/tinkerbell/pkg/backend/kube"
	"github.com/tinkerbell/tinkerbell/tink/controller"
	tinkserver "github.com/tinkerbell/tinkerbell/tink/server"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// startTinkerbell runs Tinkerbell's own controller and Tink server. cancel is called
// when one of them ends.
func startTinkerbell(ctx context.Context, cancel context.CancelCauseFunc, config *rest.Config, namespace string, listen netip.AddrPort) error {
	log := logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil))
	ctrllog.SetLogger(log)
	backend, err := kube.NewBackend(kube.Backend{ClientConfig: config, Namespace: namespace, Indexes: map[kube.IndexType]kube.Index{
		kube.IndexTypeWorkflowAgentID: kube.Indexes[kube.IndexTypeWorkflowAgentID],
		kube.IndexTypeHardwareAgentID: kube.Indexes[kube.IndexTypeHardwareAgentID],
	}})
	if err != nil {
		return err
	}
	server := tinkserver.NewConfig(tinkserver.WithBackend(backend), tinkserver.WithBindAddrPort(listen), tinkserver.WithLogger(log))
	controllers := controller.NewConfig(controller.WithClient(config), controller.WithDynamicClient(backend),
		controller.WithNamespace(namespace), controller.WithEnableLeaderElection(false))
	for name, part := range map[string]func() error{
		"cache":       func() error { return backend.Start(ctx) },
		"controller":  func() error { return controllers.Start(ctx, log) },
		"Tink server": func() error { return server.Start(ctx, log) },
	} {
		go func() { cancel(fmt.Errorf("Tinkerbell's %s ended: %w", name, part())) }()
	}
	return tell(ctx, config, namespace)
}

// tell prints how Workflows are, whenever that changes, until ctx ends.
func tell(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	kind := schema.GroupVersionResource{Group: "tinkerbell.org", Version: "v1alpha1", Resource: "workflows"}
	informer := dynamicinformer.NewFilteredDynamicInformer(client, kind, namespace, 0, nil, nil).Informer()
	last := map[string]string{}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, object any) {
		u, _ := object.(*unstructured.Unstructured)
		state, _, _ := unstructured.NestedString(u.Object, "status", "state")
		if name := u.GetName(); state != last[name] {
			last[name] = state
			fmt.Println("workflow", name, "is", state)
		}
	}})
	go informer.RunWithContext(ctx)
	return err
}

func nopCloser(text []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(text)) }
