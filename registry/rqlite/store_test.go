package rqlite_test

import (
	"net/http/httptest"
	"net/http/httputil"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
	"dragonfly/registry/rqlite"
	"dragonfly/registry/rqlite/node"
)

func startNode(t testing.TB, dir string) *node.Node {
	t.Helper()
	return rqlite.StartNode(t, dir)
}

// embedded opens a store over a node in memory.
func embedded(t testing.TB, n *node.Node) *rqlite.Store {
	t.Helper()
	s, err := rqlite.Open(t.Context(), rqlite.Embedded(n))
	if err != nil {
		t.Fatal(err)
	}
	rqlite.AwaitRest(t, s)
	return s
}

// serve gives a node a TCP listener, and returns its host and port.
func serve(t testing.TB, n *node.Node) string {
	t.Helper()
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {},
		Transport: n.Client().Transport,
	})
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// remote opens a store over TCP.
func remote(t testing.TB, address string) *rqlite.Store {
	t.Helper()
	cfg, err := rqlite.Remote(address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := rqlite.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	rqlite.AwaitRest(t, s)
	return s
}

func TestStoreOverTheEmbeddedNode(t *testing.T) {
	registrytest.Store(t, func(t *testing.T) registry.Store { return embedded(t, startNode(t, t.TempDir())) })
	registrytest.Accounts(t, func(t *testing.T) registrytest.AccountStore { return embedded(t, startNode(t, t.TempDir())) })
	registrytest.Requests(t, func(t *testing.T) registrytest.RequestStore { return embedded(t, startNode(t, t.TempDir())) })
}

func TestStoreOverTCP(t *testing.T) {
	registrytest.Store(t, func(t *testing.T) registry.Store { return remote(t, serve(t, startNode(t, t.TempDir()))) })
	registrytest.Accounts(t, func(t *testing.T) registrytest.AccountStore {
		return remote(t, serve(t, startNode(t, t.TempDir())))
	})
	registrytest.Requests(t, func(t *testing.T) registrytest.RequestStore {
		return remote(t, serve(t, startNode(t, t.TempDir())))
	})
}
