// Package clustertest has a Kubernetes API server for tests: the real one for custom
// resources, with etcd, in this process. It has no namespaces, no roles and no
// controllers; any namespace is taken, and everybody may do what [Server.Deny] does not
// forbid.
package clustertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"dragonfly/tinkerbell/clustertest/etcd"
)

// Server is an API server with its data.
type Server struct {
	Config *rest.Config // reaches it, and may do everything
	// Deny, where there is one, says which requests are forbidden.
	Deny atomic.Pointer[func(authorizer.Attributes) bool]

	dir   string
	store *embed.Etcd
	stop  func()
}

// Start runs an API server that keeps its data in dir, until it is stopped.
func Start(dir string) (*Server, error) {
	store, err := etcd.Start(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, store: store}
	if s.Config, s.stop, err = s.Another(); err != nil {
		store.Close()
		return nil, err
	}
	return s, nil
}

// Stop ends it.
func (s *Server) Stop() { s.stop(); s.store.Close() }

// Another runs one more API server over the same data, until stop is called. What it
// remembers of the past begins now, as after a restart.
func (s *Server) Another() (config *rest.Config, stop func(), err error) {
	dir, err := os.MkdirTemp(s.dir, "server")
	if err != nil {
		return nil, nil, err
	}
	return startServer(dir, s.store.Clients[0].Addr().String(), authorizer.AuthorizerFunc(s.authorize))
}

// Compact forgets every version of an object but the last.
func (s *Server) Compact(ctx context.Context) error {
	_, err := s.store.Server.Compact(ctx, &etcdserverpb.CompactionRequest{Revision: s.store.Server.KV().Rev(), Physical: true})
	return err
}

func (s *Server) authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if deny := s.Deny.Load(); deny != nil && (*deny)(a) {
		return authorizer.DecisionDeny, "", nil
	}
	return authorizer.DecisionAllow, "", nil
}

// startServer runs the API server for custom resources and waits until it is ready.
func startServer(dir, etcd string, may authorizer.Authorizer) (*rest.Config, func(), error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	config, err := serverConfig(dir, listener, etcd)
	if err != nil {
		return nil, nil, err
	}
	config.GenericConfig.Authorization.Authorizer = may
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, nil, fmt.Errorf("make the API server: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.GenericAPIServer.PrepareRun().RunWithContext(ctx) }()
	stop := func() { cancel(); <-done }
	client := rest.CopyConfig(server.GenericAPIServer.LoopbackClientConfig)
	client.QPS = -1
	if err := ready(client); err != nil {
		stop()
		return nil, nil, err
	}
	return client, stop, nil
}

// serverConfig is what the API server runs with. options.Config would do, and needs a
// core API that there is none of.
func serverConfig(dir string, listener net.Listener, etcd string) (*apiserver.Config, error) {
	o := options.NewCustomResourceDefinitionsServerOptions(io.Discard, io.Discard)
	r := o.RecommendedOptions
	r.SecureServing.Listener, r.SecureServing.ServerCert.CertDirectory = listener, dir
	r.SecureServing.ExternalAddress = net.IPv4(127, 0, 0, 1)
	r.Etcd.StorageConfig.Transport.ServerList = []string{"http://" + etcd}
	r.Authentication, r.Authorization, r.CoreAPI, r.Admission = nil, nil, nil, nil
	r.Features.EnablePriorityAndFairness = false
	if err := o.Complete(); err != nil {
		return nil, err
	}
	if err := r.SecureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	gc := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	apply := []func() error{
		func() error { return o.ServerRunOptions.ApplyTo(&gc.Config) },
		func() error { return r.Etcd.ApplyTo(&gc.Config) },
		func() error {
			return r.SecureServing.ApplyTo(&gc.Config.SecureServing, &gc.Config.LoopbackClientConfig)
		},
		func() error {
			return o.APIEnablement.ApplyTo(&gc.Config, apiserver.DefaultAPIResourceConfigSource(), apiserver.Scheme)
		},
	}
	for _, step := range apply {
		if err := step(); err != nil {
			return nil, err
		}
	}
	names := openapi.NewDefinitionNamer(apiserver.Scheme, scheme.Scheme)
	gc.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(generatedopenapi.GetOpenAPIDefinitions, names)
	gc.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, names)
	return &apiserver.Config{GenericConfig: gc, ExtraConfig: apiserver.ExtraConfig{
		CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(*r.Etcd, nil, nil),
		ServiceResolver:      noServices{},
		AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, gc.LoopbackClientConfig, nil),
	}}, nil
}

// noServices resolves no service: there are none.
type noServices struct{}

// ResolveEndpoint is webhook.ServiceResolver.ResolveEndpoint.
func (noServices) ResolveEndpoint(namespace, name string, _ int32) (*url.URL, error) {
	return nil, fmt.Errorf("there is no service %s/%s", namespace, name)
}

// ready waits until the server says that it is.
func ready(config *rest.Config) error {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	var last string
	for range 600 {
		response, err := client.Get(config.Host + "/readyz")
		if err == nil && response.StatusCode == http.StatusOK {
			response.Body.Close()
			return nil
		}
		if last = fmt.Sprint(err); err == nil {
			last = response.Status
			response.Body.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the API server is not ready after 30 s: %s", last)
}
