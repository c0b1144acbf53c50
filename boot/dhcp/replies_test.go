package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dragonfly/registry"
)

// apart runs f in a network namespace of its own, in which nothing is.
func apart(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also where f ends the test
		runtime.LockOSThread() // it ends with the goroutine, and the namespace with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		f()
	}()
	if err := <-done; errors.Is(err, unix.EPERM) {
		t.Skip("SKIPPED: a network namespace takes root")
	} else if err != nil {
		t.Fatal(err)
	}
}

// network is a namespace with the interface "ours" at 10.99.0.1/24, which is a cable to
// "theirs", where a process is.
type network struct {
	t *testing.T
	n int
}

// join starts a script in a namespace of its own, in which "theirs" has an address of
// 10.99.0.0/24 and is a cable to a bridge in ours.
func (k *network) join(script string) {
	k.t.Helper()
	k.n++
	cmd := exec.Command("unshare", "--net", "sh", "-c", "until ip link set theirs up 2>/dev/null; do sleep 0.02; done; "+script)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	near, far := fmt.Sprint("port", k.n), "theirs"
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: far}
	k.must(netlink.LinkAdd(link))
	peer, err := netlink.LinkByName(far)
	k.must(err)
	for err = unix.EINVAL; err != nil; err = moveTo(peer, cmd.Process.Pid) {
		time.Sleep(5 * time.Millisecond)
	}
	bridge, err := netlink.LinkByName("ours")
	k.must(err)
	k.must(netlink.LinkSetMaster(link, bridge))
	k.must(netlink.LinkSetUp(link))
}

// moveTo gives the link to the namespace of a process, once that has one of its own.
func moveTo(link netlink.Link, pid int) error {
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	if there, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || there == here {
		return errors.New("it has no namespace of its own yet")
	}
	return netlink.LinkSetNsPid(link, pid)
}

func (k *network) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// begin makes the bridge "ours", on which we have 10.99.0.1.
func (k *network) begin() registry.MAC {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "ours"}}
	k.must(netlink.LinkAdd(bridge))
	addr, err := netlink.ParseAddr("10.99.0.1/24")
	k.must(err)
	k.must(netlink.AddrAdd(bridge, addr))
	k.must(netlink.LinkSetUp(bridge))
	nic, err := net.InterfaceByName("ours")
	k.must(err)
	return registry.MAC(nic.HardwareAddr)
}

// Two of Debian's dnsmasq are on the network: one gives out addresses and one a boot
// file. Asking finds both.
func TestProbeFindsDnsmasq(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("SKIPPED: dnsmasq (Debian package dnsmasq-base) is not here")
	}
	dir := t.TempDir()
	dnsmasq := func(n int, more string) string {
		return fmt.Sprintf("ip addr add 10.99.0.%d/24 dev theirs; exec dnsmasq --keep-in-foreground --port=0 --user=root --interface=theirs --bind-dynamic --log-facility=/dev/null --dhcp-leasefile=%s --pid-file=%s %s",
			n, filepath.Join(dir, fmt.Sprint("leases", n)), filepath.Join(dir, fmt.Sprint("pid", n)), more)
	}
	apart(t, func() {
		k := &network{t: t}
		mac := k.begin()
		k.join(dnsmasq(8, "--dhcp-range=10.99.0.100,10.99.0.150,2m"))
		k.join(dnsmasq(9, "--dhcp-range=10.99.0.0,proxy --pxe-service=x86-64_EFI,boot,other.efi"))
		sockets, err := Listen("ours")
		k.must(err)
		replies, err := ListenReplies("ours")
		k.must(err)
		s := &Server{Sockets: sockets, Replies: replies, Self: Self{Addr: netip.MustParseAddr("10.99.0.1")}, Log: slog.New(slog.DiscardHandler)}
		done := make(chan error, 1)
		go func() { done <- s.Serve(t.Context()) }()

		found := func() (all []Neighbour) {
			all, _ = s.Watch.Neighbours(time.Now())
			return all
		}
		for deadline := time.Now().Add(time.Minute); len(found()) < 2 && time.Now().Before(deadline); {
			k.must(s.ask(mac)) // they may not have started yet
			time.Sleep(100 * time.Millisecond)
		}
		all := found()
		if len(all) != 2 {
			t.Errorf("found %+v", all)
			return
		}
		if gives := all[0]; gives.Addr.String() != "10.99.0.8" || !gives.Gives || gives.Boots || gives.Client != mac || !gives.Fresh(time.Now()) {
			t.Errorf("%+v", gives)
		}
		if boots := all[1]; boots.Addr.String() != "10.99.0.9" || boots.Gives || !boots.Boots || !boots.Fresh(time.Now()) {
			t.Errorf("%+v", boots)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := s.Probe(gone, mac); !errors.Is(err, context.Canceled) {
			t.Errorf("asked by somebody who has left: %v", err)
		}
		if err := s.Probe(t.Context(), mac); !errors.Is(err, ErrProbed) {
			t.Errorf("asked again at once: %v", err)
		}
		if s.Stats.Count(Offered)+s.Stats.Count(Acked) != 0 {
			t.Error("our own question was answered by us")
		}
	})
}
