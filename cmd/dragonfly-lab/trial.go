package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// trial is one run of one scenario.
type trial struct {
	Split split
	Guest time.Duration // from /init to registered, by the guest's clock; 0 where it was not printed
	Notes []string      // where the time went after that
	Err   error
}

// try runs s once in a rack of its own. What went wrong is printed to out, with
// the ends of the logs.
func try(ctx context.Context, o options, s scenario, out io.Writer) (t trial) {
	name := fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), s.Name)
	r, rackCtx, err := openRack(ctx, o, name, s.Serve)
	if r == nil {
		return trial{Err: err}
	}
	if err == nil {
		t, err = s.play(rackCtx, r)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		tails(out, r.keepLogs(s.Name))
	case o.Keep:
		fmt.Fprintf(out, "logs and packets: %s\n", r.keepLogs(s.Name))
	}
	t.Notes = r.notes
	t.Err = errors.Join(err, r.close())
	return t
}

// play boots the scenario's machine, and does with it what the scenario is about.
func (s scenario) play(ctx context.Context, r *rack) (trial, error) {
	boot, cancel := context.WithTimeoutCause(ctx, bootLimit, fmt.Errorf("%s was not ready within %v", s.Name, bootLimit))
	defer cancel()
	t, machine, err := s.boot(boot, r)
	if err != nil || s.Then == nil {
		return t, err
	}
	ctx, stop := context.WithTimeoutCause(ctx, s.Within, fmt.Errorf("%s was not done within %v", s.Name, s.Within))
	defer stop()
	return t, s.Then(s, ctx, r, machine)
}

// boot powers the scenario's machine on and follows it until it is ready.
func (s scenario) boot(ctx context.Context, r *rack) (t trial, machine api.Machine, err error) {
	powerOn := time.Now()
	screen, err := r.power(ctx, s.Machine)
	if err != nil {
		return t, machine, err
	}
	if t, err = s.settle(ctx, r, powerOn, screen); err != nil {
		return t, machine, err
	}
	events, _ := r.timeline.of(s.Machine.MAC)
	if err := s.verifyPath(events); err != nil {
		return t, machine, err
	}
	if machine, err = r.machine(ctx, s.Machine); err != nil {
		return t, machine, err
	}
	if err := s.Machine.verify(machine); err != nil {
		return t, machine, fmt.Errorf("the machine is not what was booted: %w", err)
	}
	return t, machine, nil
}

// settle waits until the machine is registered and every step of its boot has
// been filed, which happens in batches.
func (s scenario) settle(ctx context.Context, r *rack, powerOn time.Time, screen *console) (t trial, err error) {
	events, err := r.timeline.await(ctx, s.Machine.MAC, func(events []api.Event) bool {
		return registrations(events) > 0
	})
	if err != nil {
		return t, err
	}
	wait, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for {
		var started time.Time
		started, t.Guest = screen.agent()
		t.Split, err = splitTimes(powerOn, events, started)
		if err == nil && t.Guest > 0 || wait.Err() != nil {
			return t, err
		}
		before := len(events)
		// The console has no event to wait for: look again soon, or at the next event.
		look, stop := context.WithTimeout(wait, 100*time.Millisecond)
		events, _ = r.timeline.await(look, s.Machine.MAC, func(e []api.Event) bool { return len(e) > before })
		stop()
	}
}

// reboot tells the machine to restart and expects the same record back, known
// and ready.
func (s scenario) reboot(ctx context.Context, r *rack, before api.Machine) error {
	if _, err := r.api.client.Instruct(ctx, before.ID, registry.Reboot); err != nil {
		return fmt.Errorf("tell %s to reboot: %w", before.Name, err)
	}
	_, err := r.timeline.await(ctx, s.Machine.MAC, func(events []api.Event) bool { return registrations(events) > 1 })
	if err != nil {
		return fmt.Errorf("reboot %s: %w", before.Name, err)
	}
	after, err := r.machine(ctx, s.Machine)
	if err != nil {
		return err
	}
	if after.ID != before.ID || after.Name != before.Name {
		return fmt.Errorf("%s (%s) came back as %s (%s)", before.Name, before.ID, after.Name, after.ID)
	}
	return s.Machine.verify(after)
}

// keepLogs copies the logs and the packets out of the rack, which is about to
// vanish, and returns where they are.
func (r *rack) keepLogs(name string) string {
	kept := filepath.Join(os.TempDir(), "dragonfly-lab-logs", fmt.Sprintf("%s-%d", name, os.Getpid()))
	for _, pattern := range []string{"*.log", "*.pcap"} {
		paths, _ := filepath.Glob(filepath.Join(r.dir, pattern)) // the pattern is well formed
		for _, path := range paths {
			if err := copyFile(path, filepath.Join(kept, filepath.Base(path))); err != nil {
				fmt.Fprintf(os.Stderr, "keep %s: %v\n", path, err)
			}
		}
	}
	return kept
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
