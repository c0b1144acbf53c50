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
	"dragonfly/registry/rqlite/node"
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

// The table of [plainSQL] in SQLite, and how many rows go into it at once.
const (
	nodeTable = `CREATE TABLE plain (serial TEXT PRIMARY KEY, mac TEXT NOT NULL, hostname TEXT NOT NULL, updated INTEGER NOT NULL, data TEXT NOT NULL)`
	nodeIndex = `CREATE INDEX plain_mac ON plain (mac)`
	nodeSQL   = `INSERT INTO plain (serial, mac, hostname, updated, data) VALUES %s ON CONFLICT (serial) DO UPDATE
		SET mac = excluded.mac, hostname = excluded.hostname, updated = excluded.updated, data = excluded.data`
	nodeRows = 64
)

// saveInNode stores what plain stores, and no more, in a node of rqlite as the
// appliance embeds it: whatever waits goes into the next transaction. It is the limit of
// every store over rqlite.
func saveInNode(ctx context.Context, dir string) (saving, error) {
	n, err := node.Start(ctx, node.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	if _, refused, err := n.Execute(ctx, []string{nodeTable, nodeIndex}, [][]any{nil, nil}); err != nil || refused != "" {
		return nil, errors.Join(err, errors.New(refused))
	}
	waiting := make(chan nodeRow, nodeRows)
	go func() {
		for row := range waiting {
			insertRows(ctx, n, append([]nodeRow{row}, more(waiting, nodeRows-1)...))
		}
	}()
	return func(_ context.Context, r registration) error {
		row := nodeRow{r, make(chan error, 1)}
		waiting <- row
		return <-row.done
	}, nil
}

// nodeRow is a row that waits to be stored.
type nodeRow struct {
	registration
	done chan error
}

// more is what waits by now, but no more than most of it.
func more(waiting <-chan nodeRow, most int) (rows []nodeRow) {
	for len(rows) < most {
		select {
		case row := <-waiting:
			rows = append(rows, row)
		default:
			return rows
		}
	}
	return rows
}

func insertRows(ctx context.Context, n *node.Node, rows []nodeRow) {
	var values []any
	for _, r := range rows {
		values = append(values, r.Hardware.System.Serial, r.MAC.String(), r.Hostname, time.Now().UnixMilli(), string(r.body))
	}
	places := strings.Repeat(", (?, ?, ?, ?, ?)", len(rows))[2:]
	_, refused, err := n.Execute(ctx, []string{fmt.Sprintf(nodeSQL, places)}, [][]any{values})
	if refused != "" {
		err = errors.New(refused)
	}
	for _, r := range rows {
		r.done <- err
	}
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
