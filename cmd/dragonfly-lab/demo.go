package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"

	"github.com/spf13/cobra"
)

// demoPort is where the demo's page is looked for first, on 127.0.0.1; the next
// ones are tried where something listens there already.
const (
	demoPort  = 3000
	demoPorts = 20
)

func demoCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "A rack of two machines to look at in the browser, until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), *o, cmd.OutOrStdout())
		},
	}
}

// demo runs the virtual rack until ctx ends, which is no error, and then takes
// everything away.
func demo(ctx context.Context, o options, out io.Writer) (err error) {
	name := fmt.Sprintf("%s%d-demo", prefix, os.Getpid())
	r, rackCtx, err := openRack(ctx, o, name, nil)
	if r != nil {
		defer func() {
			fmt.Fprintln(out, "\ntaking the rack down ...")
			err = errors.Join(err, r.close())
		}()
	}
	if err == nil {
		err = r.show(rackCtx, out)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil && r != nil {
		tails(out, r.keepLogs("demo"))
	}
	return err
}

// show powers the machines on and prints every event until ctx ends.
func (r *rack) show(ctx context.Context, out io.Writer) error {
	page, err := r.publish(ctx, out)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n  Dragonfly is at %s  (Ctrl-C ends it and leaves nothing behind)\n"+
		"  Command line:   %s machine list --server %[1]s\n\n", page, r.options.Dragonfly)
	powerOn := time.Now()
	names := map[registry.MAC]string{}
	for _, m := range demoRack() {
		names[m.MAC] = m.Name
		if _, err := r.power(ctx, m); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %-8s powered on: %s\n", clock(time.Since(powerOn)), m.Name, m.Firmware)
	}
	shown := 0
	for {
		events, err := r.timeline.all(ctx, shown)
		for _, e := range events {
			fmt.Fprintln(out, demoLine(e, names, powerOn)+r.known(ctx, e))
		}
		if shown += len(events); err != nil {
			return err
		}
	}
}

// known says under which name a machine that has just registered is listed.
func (r *rack) known(ctx context.Context, e api.Event) string {
	if e.Kind != registry.MachineRegistered {
		return ""
	}
	m, err := r.api.client.Machine(ctx, e.Machine)
	if err != nil {
		return "" // the line is a courtesy
	}
	return fmt.Sprintf("; it is %s, and %s", m.Name, m.State)
}

// demoRack is one BIOS and one UEFI machine, as a rack in a data centre has them.
func demoRack() []vm {
	a, b := newVM(0xa, seaBIOS), newVM(0xb, ovmf)
	a.Name, a.Vendor, a.Product, a.Serial = "rack1-a", "Acme", "R220", "CZJ9120A4K"
	b.Name, b.Vendor, b.Product, b.Serial = "rack1-b", "Acme", "R440 Gen2", "CZJ9120A7M"
	a.Disks[0].Serial, b.Disks[0].Serial = "S3Z8NB0K812440", "S3Z8NB0K812991"
	return []vm{a, b}
}

// demoLine is one event for people: "00:00:12 rack1-a  dhcp: ...".
func demoLine(e api.Event, names map[registry.MAC]string, powerOn time.Time) string {
	who := names[e.MAC]
	if who == "" && e.MAC != (registry.MAC{}) {
		who = e.MAC.String()
	}
	what := e.Message
	if e.Kind != registry.MachineBoot {
		what = strings.TrimPrefix(string(e.Kind), "machine.") + ": " + e.Message
	}
	return fmt.Sprintf("%s %-8s %s", clock(e.At.Sub(powerOn)), who, what)
}

// clock prints a duration as hours, minutes and seconds.
func clock(d time.Duration) string {
	return time.Time{}.Add(max(d, 0)).Format(time.TimeOnly)
}

// publish makes the appliance's page reachable on 127.0.0.1 of the host, by way
// of the appliance's own socket: no address of the host leads into the lab.
func (r *rack) publish(ctx context.Context, out io.Writer) (string, error) {
	listener, err := listenFrom(demoPort)
	if err != nil {
		return "", err
	}
	if port := listener.Addr().(*net.TCPAddr).Port; port != demoPort {
		fmt.Fprintf(out, "port %d is taken; using %d\n", demoPort, port)
	}
	var open sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	open.Go(func() { forward(ctx, listener, r.api.socket) })
	r.undo.add(func() error {
		stop()
		open.Wait()
		return nil
	})
	return "http://" + listener.Addr().String(), nil
}

// listenFrom listens on the first free port from first on.
func listenFrom(first int) (net.Listener, error) {
	var err error
	for port := first; port < first+demoPorts; port++ {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port in %d-%d: %w", first, first+demoPorts-1, err)
}

// forward passes connections on to the unix socket until ctx ends.
func forward(ctx context.Context, l net.Listener, socket string) {
	context.AfterFunc(ctx, func() { l.Close() })
	var open sync.WaitGroup
	defer open.Wait()
	for {
		from, err := l.Accept()
		if err != nil {
			return // the listener is closed
		}
		open.Go(func() { pass(ctx, from, socket) })
	}
}

// pass copies both ways until either side is done or ctx ends.
func pass(ctx context.Context, from net.Conn, socket string) {
	defer from.Close()
	to, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return // the browser sees a closed connection and the demo says why
	}
	defer to.Close()
	end := context.AfterFunc(ctx, func() { from.Close(); to.Close() })
	defer end()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // an end is an end, whoever began it
			done <- struct{}{}
		}()
	}
	<-done
}
