package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

// socketName is the control socket in the data directory. Who may open it is an
// administrator: it serves everything, to nobody else on the host.
const socketName = "dragonfly.sock"

// listenControl binds the control socket, over one that a crash left behind.
func listenControl(dataDir string) (net.Listener, error) {
	path := filepath.Join(dataDir, socketName)
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("data directory %s is in use by a running dragonfly", dataDir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// control is a client of the appliance that the command speaks to: the one on this
// host, unless [targetOf] says otherwise.
func control(cmd *cobra.Command) *api.Client {
	switch elsewhere, err := targetOf(cmd); {
	case err != nil:
		return &api.Client{Base: "http://localhost", HTTP: &http.Client{Transport: failing{err}}}
	case elsewhere != nil:
		return &api.Client{Base: elsewhere.URL, Token: elsewhere.Token, HTTP: elsewhere.http(askedBy(cmd))}
	}
	dataDir, _ := cmd.Flags().GetString("data-dir")
	path := filepath.Join(dataDir, socketName)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("no dragonfly runs with data directory %s: start it with `dragonfly serve`, or name the right one with --data-dir", dataDir)
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%s may not be opened by this user: try again as root", path)
		}
		return conn, err
	}
	return &api.Client{Base: "http://localhost", HTTP: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// controlFlags adds what [control] needs.
func controlFlags(cmd *cobra.Command) {
	dir := os.Getenv(envPrefix + "DATA_DIR")
	if dir == "" {
		dir = defaultDataDir
	}
	cmd.Flags().String("data-dir", dir, "data directory of the running appliance (also DRAGONFLY_DATA_DIR)")
	cmd.Flags().String("server", "", "`URL` of an appliance elsewhere, with an API token in DRAGONFLY_TOKEN (also DRAGONFLY_SERVER)")
	cmd.Flags().String("ca", os.Getenv(envPrefix+"CA"), "PEM `FILE` of certificates that vouch for that appliance (also DRAGONFLY_CA)")
	cmd.Flags().String("context", "", "`NAME` of an appliance elsewhere; see dragonfly context")
	_ = cmd.RegisterFlagCompletionFunc("context", completeContexts) // the flag is there
}

// failing is a way to a server that is not known.
type failing struct{ err error }

// RoundTrip is [http.RoundTripper.RoundTrip].
func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
