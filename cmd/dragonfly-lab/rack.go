package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"dragonfly/registry/api"
)

// rack is a lab that is switched on: the network, the site's DHCP server, the
// appliance, and the machines booted so far.
type rack struct {
	options
	dir      string // logs and disks; gone when the rack is closed
	net      network
	api      *appliance
	timeline *timeline
	screens  map[string]*console // of the machines, by name
	taps     int
	notes    []string // for the report

	fail context.CancelCauseFunc // ends everything when a part of it ends
	undo cleanup
}

// openRack switches a rack on. The context it returns ends, with the cause, as
// soon as any part of the rack does. The caller closes the rack, which then
// leaves nothing behind.
func openRack(ctx context.Context, o options, name string, extra []string) (*rack, context.Context, error) {
	ctx, fail := context.WithCancelCause(ctx)
	r := &rack{options: o, net: newNetwork(name), timeline: newTimeline(), screens: map[string]*console{}, fail: fail}
	var err error
	if r.dir, err = os.MkdirTemp("", name+"-"); err != nil {
		return nil, nil, err
	}
	r.undo.add(func() error { return os.RemoveAll(r.dir) })
	r.undo.add(r.net.remove)
	if err := r.switchOn(ctx, extra); err != nil {
		return r, ctx, err
	}
	return r, ctx, nil
}

func (r *rack) switchOn(ctx context.Context, extra []string) error {
	if err := r.net.build(ctx); err != nil {
		return err
	}
	if err := r.run(ctx, "tcpdump", func(log io.Writer) (*process, error) {
		return startCapture(r.net, r.dir, log)
	}); err != nil {
		return err
	}
	if err := r.run(ctx, "dnsmasq", func(log io.Writer) (*process, error) {
		return startSite(r.net, r.dir, log)
	}); err != nil {
		return err
	}
	if err := r.serve(ctx, "appliance", extra); err != nil {
		return err
	}
	return r.listen(ctx)
}

// serve starts the appliance, with its log in a file called name, and waits until it
// serves.
func (r *rack) serve(ctx context.Context, name string, extra []string) error {
	if err := r.run(ctx, name, func(log io.Writer) (p *process, err error) {
		if r.api, err = startAppliance(r.net, r.options, r.dir, extra, log); err != nil {
			return nil, err
		}
		return r.api.process, nil
	}); err != nil {
		return err
	}
	return r.api.ready(ctx)
}

// run starts a part of the rack with a log of its own and watches it.
func (r *rack) run(ctx context.Context, name string, begin func(log io.Writer) (*process, error)) error {
	log, err := os.Create(filepath.Join(r.dir, name+".log"))
	if err != nil {
		return err
	}
	r.undo.add(log.Close)
	p, err := begin(log)
	if err != nil {
		return err
	}
	r.undo.add(func() error { return p.stop(stopGrace) })
	go func() {
		select {
		case <-p.done:
			if !p.killed.Load() {
				r.fail(p.ended())
			}
		case <-ctx.Done():
		}
	}()
	return nil
}

// listen feeds the timeline, and a log for people, until the rack is closed.
func (r *rack) listen(ctx context.Context) error {
	log, err := os.Create(filepath.Join(r.dir, "events.log"))
	if err != nil {
		return err
	}
	r.undo.add(log.Close)
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	note := func(e api.Event) {
		r.timeline.add(e)
		fmt.Fprintf(log, "%s %s %s %s\n", e.At.Format("15:04:05.000"), e.MAC, e.Kind, e.Message)
	}
	api := r.api // the one that follows it may be another process at the same socket
	go func() {
		defer close(ended)
		if err := api.follow(ctx, note); ctx.Err() == nil {
			r.fail(api.brokeOff(err))
		}
	}()
	r.undo.add(func() error { stop(); <-ended; return nil })
	return nil
}

// power switches a machine on and returns its console.
func (r *rack) power(ctx context.Context, m vm) (*console, error) {
	h := host{Accel: r.Accel, Dir: filepath.Join(r.dir, m.Name), ROMs: r.ROMs, OVMF: ovmfFiles,
		Kernel: r.kernel(), Initrd: r.initrd(), Tap: fmt.Sprintf("tap%d", r.taps)}
	r.taps++
	if err := r.net.plug(ctx, h.Tap); err != nil {
		return nil, err
	}
	if err := m.files(h); err != nil {
		return nil, err
	}
	if m.Firmware == noROM {
		line, err := r.api.kernelLine(ctx, m.MAC)
		if err != nil {
			return nil, err
		}
		h.Cmdline = line
	}
	var screen *console
	return screen, r.run(ctx, m.Name, func(log io.Writer) (*process, error) {
		screen = newConsole(log)
		r.screens[m.Name] = screen
		return start(m.Name, screen, inside(r.net.lab, m.args(h)...)...)
	})
}

// machine is what the appliance's API says of the machine with m's address.
func (r *rack) machine(ctx context.Context, m vm) (api.Machine, error) {
	list, _, err := r.api.client.Machines(ctx, api.Selection{}, "", 100)
	if err != nil {
		return api.Machine{}, fmt.Errorf("list machines: %w", err)
	}
	i := slices.IndexFunc(list, func(have api.Machine) bool { return slices.Contains(have.MACs, m.MAC) })
	if i < 0 {
		return api.Machine{}, fmt.Errorf("%s was booted and none of the %d machines of the appliance has its address", m.Name, len(list))
	}
	return r.api.client.Machine(ctx, list[i].ID)
}

// close switches everything off, last first, and leaves nothing behind.
func (r *rack) close() error {
	r.fail(errors.New("the rack is closed"))
	return r.undo.run()
}

// files makes the machine's disks and UEFI variables.
func (m vm) files(h host) error {
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		return err
	}
	for i, d := range m.Disks {
		if err := os.WriteFile(h.disk(i), nil, 0o644); err != nil {
			return err
		}
		if err := os.Truncate(h.disk(i), d.Bytes); err != nil {
			return err
		}
	}
	vars, err := os.ReadFile(h.OVMF[1])
	if err != nil {
		return err
	}
	return os.WriteFile(h.vars(), vars, 0o644)
}
