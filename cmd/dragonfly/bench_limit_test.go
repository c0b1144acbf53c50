package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/rqlite"
)

// forgetful is a store that stores nothing, and tells nobody. An appliance over it
// is the limit of what another store could give: it reads, checks, decides and
// answers as ours does.
type forgetful struct{ *rqlite.Store }

func (forgetful) Commit(context.Context, registry.Change) error { return nil }

// serveForgetful is serve over a forgetful store, without a copy of what it has.
func serveForgetful(ctx context.Context, cfg config, log *slog.Logger) error {
	ports, err := bind(cfg)
	if err != nil {
		return err
	}
	defer ports.close()
	standby, err := openStandby(cfg.DataDir, log)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, databaseConfig{config: cfg}, log)
	if err != nil {
		return errors.Join(err, standby.close())
	}
	a, err := newAppliance(ctx, cfg, db, standby, log)
	if err == nil {
		a.ports = ports
		a.registry, err = registry.New(ctx, forgetful{db.store}, log)
	}
	if err == nil {
		err = a.run(ctx)
	}
	return errors.Join(err, db.close(), standby.close())
}

// cpu is what the server has used of the processors, with its database where that is
// a process of its own.
func (p *contender) cpu() (used time.Duration) {
	for _, pid := range p.processes() {
		cpu, _ := processTime(pid) // one that has ended counts with its parent
		used += cpu
	}
	return used
}

// processes are the server, its PostgreSQL and what that has started.
func (p *contender) processes() []int {
	all := []int{p.cmd.Process.Pid}
	text, err := os.ReadFile(filepath.Join(p.where, "data", "postmaster.pid"))
	if err != nil {
		return all // it has none
	}
	first, _, _ := strings.Cut(string(text), "\n")
	children, _ := os.ReadFile("/proc/" + first + "/task/" + first + "/children")
	for _, field := range append(strings.Fields(string(children)), first) {
		if pid, err := strconv.Atoi(field); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// processTime is the CPU time of a process, and of its children that have ended.
func processTime(pid int) (used time.Duration, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // proc_pid_stat(5): the state is the third field
	fields := strings.Fields(rest)
	for _, ticks := range fields[11:15] {
		n, err := strconv.Atoi(ticks)
		if err != nil {
			return 0, err
		}
		used += time.Duration(n) * time.Second / 100 // USER_HZ is 100 on Linux for every program
	}
	return used, nil
}
