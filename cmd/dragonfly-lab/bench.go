package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry"
)

// bench is one call of "dragonfly-lab bench".
type bench struct {
	Dragonfly string
	Machines  int
	Clients   int
	Rounds    int    // requests of each question
	Rate      int    // events per second
	Seconds   int    // of events
	Data      string // directory to fill, or one that was filled before; empty: one that is removed
	Enforce   bool
	UI        bool // only what concerns it

	out     io.Writer
	fleet   []registry.Machine // as fill returns it
	figures []figure
}

func benchCommand() *cobra.Command {
	var b bench
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the appliance with a large fleet and many viewers",
		Long: `Fill the database with machines, run the appliance on it as a process of its own,
and measure over HTTP on the loopback address what an operator and a booting
machine wait for, and what it costs in memory and CPU.

It needs no root and no virtual machine, and leaves nothing behind.`,
		Args: cobra.NoArgs,
		// Instead of that of the virtual rack: none of its tools is needed.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, _ []string) error {
			b.Dragonfly, b.out = cmd.Flag("dragonfly").Value.String(), cmd.OutOrStdout()
			return b.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&b.Machines, "machines", 100_000, "machines in the database")
	flags.IntVar(&b.Clients, "clients", 1000, "viewers that follow the events")
	flags.IntVar(&b.Rounds, "rounds", 500, "how often each list is asked for; what is quick, four times as often")
	flags.IntVar(&b.Rate, "rate", 100, "events per second")
	flags.IntVar(&b.Seconds, "seconds", 10, "how long events are followed")
	flags.StringVar(&b.Data, "data-dir", "", "fill this `folder` and keep it, or use what an earlier call with as many machines left there")
	flags.BoolVar(&b.UI, "ui", false, "measure only what concerns the UI, in a browser too")
	flags.BoolVar(&b.Enforce, "enforce", false, "fail when a limit is exceeded")
	return cmd
}

func (b *bench) run(ctx context.Context) (err error) {
	if min(b.Machines, b.Clients, b.Rounds, b.Rate, b.Seconds) < 1 {
		return errors.New("--machines, --clients, --rounds, --rate and --seconds: want at least 1")
	}
	if b.Data == "" {
		dir, err := os.MkdirTemp("", prefix)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		b.Data = filepath.Join(dir, "data")
	}
	begin := time.Now()
	if b.fleet, err = fill(ctx, b.Data, b.Machines); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d machines stored in %.1f s\n", b.Machines, time.Since(begin).Seconds())
	measured := b.measure(ctx, b.Data)
	if err := errors.Join(printFigures(b.out, b.figures), measured); err != nil {
		return err
	}
	if n := broken(b.figures); n > 0 && b.Enforce {
		return fmt.Errorf("%d of %d figures are over their limits", n, len(b.figures))
	}
	return nil
}

func (b *bench) add(figures ...figure) { b.figures = append(b.figures, figures...) }

// measure takes every figure, from the first start on.
func (b *bench) measure(ctx context.Context, data string) (err error) {
	s, err := b.firstStart(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(stopGrace)) }()
	steps := []func(context.Context, *subject) error{b.pages, b.browser, b.open, b.boots, b.memory, b.viewers, b.stalled}
	if b.UI {
		steps = steps[:3]
	}
	for _, step := range steps {
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	return b.peak(s, "memory with all viewers, at most")
}

// The promises of a start.
const (
	startWithin = 5 * time.Second
	copyWithin  = 2 * time.Minute // until the copy of the last known state is complete; never that long
	memoryLimit = 600             // MiB
)

// lastKnownFile is the copy of the last known state in a data directory.
const lastKnownFile = "lastknown.db"

// firstStart starts the appliance on a database that it has not seen, waits until
// it has its copy of it, and starts it again, which is what happens from then on.
func (b *bench) firstStart(ctx context.Context, data string) (*subject, error) {
	if err := os.RemoveAll(filepath.Join(data, lastKnownFile)); err != nil {
		return nil, err
	}
	s, took, err := startSubject(ctx, b.Dragonfly, data)
	if err != nil {
		return nil, err
	}
	b.add(plain("first start to ready", took.Seconds(), startWithin.Seconds(), "s"))
	copied, err := s.awaitCopy(ctx, copyWithin)
	b.add(plain("last known state complete after", copied.Seconds(), noLimit, "s"))
	if err := errors.Join(err, b.peak(s, "memory of the first start, at most"), s.stop(stopGrace)); err != nil {
		return nil, err
	}
	if s, took, err = startSubject(ctx, b.Dragonfly, data); err != nil {
		return nil, err
	}
	cpu, err := cpuTime(s.pid())
	b.add(plain("start to ready", took.Seconds(), startWithin.Seconds(), "s"), plain("start to ready, CPU", cpu.Seconds(), noLimit, "s"))
	if err := errors.Join(err, b.peak(s, "memory at ready, at most"), s.enter(ctx)); err != nil {
		return nil, errors.Join(err, s.stop(stopGrace))
	}
	return s, nil
}

// peak adds the most memory the process ever had.
func (b *bench) peak(s *subject, name string) error {
	mib, err := memory(s.pid(), "VmHWM")
	b.add(plain(name, mib, memoryLimit, "MiB"))
	return err
}

// memory adds what the process has now, and the most it ever had.
func (b *bench) memory(_ context.Context, s *subject) error {
	mib, err := memory(s.pid(), "VmRSS")
	b.add(plain("memory after all of it", mib, memoryLimit, "MiB"))
	return errors.Join(err, b.peak(s, "memory, at most"))
}
