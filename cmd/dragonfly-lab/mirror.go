package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// mirrorPort is where the site's way to a Debian mirror listens.
const mirrorPort = "3142"

// startMirror serves the mirror of Debian that the host's own sources name inside the
// site, as an HTTP proxy that leads nowhere else, and that lacks what only the installer
// is made of; and below /installer/ the files of a directory. It returns its URL.
func (r *rack) startMirror(ctx context.Context, installer string) (string, error) {
	mirror, err := hostMirror(ctx)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(mirror)
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/installer/", http.StripPrefix("/installer/", http.FileServer(http.Dir(installer))))
	mux.Handle("/debian/", http.StripPrefix("/debian", withoutInstaller(relay(to))))
	listener, err := listenInside(r.net.site, siteAddress+":"+mirrorPort)
	if err != nil {
		return "", fmt.Errorf("serve a Debian mirror: %w", err)
	}
	server := &http.Server{Handler: mux}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.fail(err)
		}
	}()
	r.undo.add(server.Close)
	return "http://" + listener.Addr().String(), nil
}

// withoutInstaller has none of the packages that only an installer takes.
func withoutInstaller(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".udeb") {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// relay fetches from a mirror what it is asked for, and says to it nothing of who asks.
func relay(mirror *url.URL) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(mirror) }}
}

// listenInside listens in a network namespace. The socket stays there; the thread that
// went there to open it ends.
func listenInside(namespace, address string) (listener net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: nobody else is to run in there
		file, errOpen := os.Open(filepath.Join("/run/netns", namespace))
		if errOpen != nil {
			err = errOpen
			return
		}
		defer file.Close()
		if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err == nil {
			listener, err = net.Listen("tcp", address)
		}
	}()
	<-done
	return listener, err
}

// netbootPackage has Debian's installer as it is booted from a network.
const netbootPackage = "debian-installer-12-netboot-amd64"

// debianInstaller is the directory with linux and initrd.gz of Debian's installer. The
// package manager checks what it fetches, and fetches the version of today: the
// installer finds its drivers only on a mirror of the same one.
func debianInstaller(ctx context.Context) (string, error) {
	root, err := labCache("installer")
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", netbootPackage).Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for %s: %w", netbootPackage, err)
	}
	dir := filepath.Join(root, digest(string(version)))
	return filepath.Join(dir, "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"), once(dir, func(path string) error {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		return command(ctx, "sh", "-c", `cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2" && dpkg-deb -x *.deb . && rm *.deb`, "sh", path, netbootPackage)
	})
}
