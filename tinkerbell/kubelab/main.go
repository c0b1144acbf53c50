// Kubelab is a whole Kubernetes API with a whole Tinkerbell in it, for the lab: the real
// kube-apiserver with roles enforced, etcd, and Tinkerbell's own controller and Tink
// server, in one process. There are no nodes, and nothing of a cluster but its API.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"dragonfly/tinkerbell/clustertest/etcd"
)

// lab is what the flags say.
type lab struct {
	dir       string // everything is kept in it
	objects   string // file with objects that are made first: the account, its role, and what else is there
	account   string // of the namespace, that the kubeconfig is for
	namespace string
	tink      netip.AddrPort
}

func main() {
	var l lab
	flag.StringVar(&l.dir, "dir", "", "`folder` for everything that is kept; the kubeconfig is in it when all is ready")
	flag.StringVar(&l.objects, "objects", "", "`file` with the service account of the kubeconfig, what it may do, and what else is to be there")
	flag.StringVar(&l.account, "account", "dragonfly", "service `account` that the kubeconfig is for")
	flag.StringVar(&l.namespace, "namespace", "tinkerbell", "`namespace` of everything")
	listen := flag.String("tink", "0.0.0.0:42113", "`address` that Tink server listens on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if l.tink, err = netip.ParseAddrPort(*listen); err == nil {
		err = l.run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "kubelab:", err)
		os.Exit(1)
	}
}

// run runs everything until ctx ends, or a part of it does.
func (l lab) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	store, err := etcd.Start(l.dir)
	if err != nil {
		return err
	}
	defer store.Close()
	server, err := startServer(ctx, cancel, l.dir, store.Clients[0].Addr().String())
	if err != nil {
		return err
	}
	if err := server.equip(ctx, l.namespace, l.objects); err != nil {
		return err
	}
	if err := startTinkerbell(ctx, cancel, server.admin, l.namespace, l.tink); err != nil {
		return err
	}
	text, err := server.kubeconfig(ctx, l.namespace, l.account)
	if err != nil {
		return err
	}
	part := filepath.Join(l.dir, "kubeconfig.part")
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(l.dir, "kubeconfig")); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return context.Cause(ctx)
}
