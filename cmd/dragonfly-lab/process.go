package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// process is one child of the lab. It leads its own process group, so that a
// Ctrl-C on the terminal reaches the lab alone and the lab ends its children in
// order; and it dies with the lab, even when that is killed.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended
	err  error         // how it ended; read it after done

	killed atomic.Bool // by the lab, which wanted to
}

// start runs argv with its output in out, which may be nil. It has to be called
// by a goroutine that is locked to a thread which lives as long as the lab.
func start(name string, out io.Writer, argv ...string) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// ended says why the process is gone; call it after done.
func (p *process) ended() error {
	if p.err == nil {
		return fmt.Errorf("%s ended", p.name)
	}
	return fmt.Errorf("%s ended: %w", p.name, p.err)
}

// stop asks the process to end and waits for it; after grace it is killed,
// which is an error. A process that is gone already is not.
func (p *process) stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it is gone, which done tells
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("stop %s: still running %v after SIGTERM; killed", p.name, grace)
}

// kill ends the process as kill -9 does, which the rack does not take for a fault.
func (p *process) kill() {
	p.killed.Store(true)
	_ = p.cmd.Process.Kill() // fails only when it is gone, which done tells
	<-p.done
}

// command runs argv to its end and puts what it said into the error.
func command(ctx context.Context, argv ...string) error {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", exec.Command(argv[0], argv[1:]...), err, oneLine(out))
	}
	return nil
}

// cleanup is what has to be undone, last first. The zero value is empty.
type cleanup []func() error

func (c *cleanup) add(undo func() error) { *c = append(*c, undo) }

// run undoes everything, also when some of it fails, and leaves c empty.
func (c *cleanup) run() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}
