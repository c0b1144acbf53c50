package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// postgres starts a PostgreSQL of its own with every setting as it comes, on a
// Unix socket in the directory that is returned; empty where none is installed.
func postgres(b *testing.B) (socket string) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian keeps them out of the PATH
	if len(found) == 0 {
		return ""
	}
	bin, dir := filepath.Dir(found[len(found)-1]), b.TempDir()
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // which PostgreSQL refuses to run as
		as.Credential = owner(b, dir)
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.SysProcAttr, cmd.Dir = as, dir
		return cmd
	}
	if out, err := run("initdb", "-D", filepath.Join(dir, "data"), "-U", "bench", "-A", "trust").CombinedOutput(); err != nil {
		b.Fatalf("initdb: %v\n%s", err, out)
	}
	server := run("postgres", "-D", filepath.Join(dir, "data"), "-k", dir, "-c", "listen_addresses=")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt) // stop without waiting for clients
		_ = server.Wait()
	})
	for range 500 {
		conn, err := pgx.Connect(b.Context(), source(dir))
		if err == nil {
			if err := conn.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			return dir
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatal("PostgreSQL does not answer")
	return ""
}

// owner gives dir to the user postgres and returns who that is.
func owner(b *testing.B, dir string) *syscall.Credential {
	u, err := user.Lookup("postgres")
	if err != nil {
		b.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		b.Fatal(err)
	}
	for parent := filepath.Dir(dir); parent != os.TempDir() && len(parent) > 1; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func source(socket string) string { return "host=" + socket + " user=bench dbname=postgres" }

// baselineSchema is that of both baselines.
const baselineSchema = `
CREATE TABLE IF NOT EXISTS plain (serial TEXT PRIMARY KEY, mac TEXT NOT NULL, hostname TEXT NOT NULL, updated TIMESTAMPTZ NOT NULL, data JSONB NOT NULL);
CREATE INDEX IF NOT EXISTS plain_mac ON plain (mac);
CREATE TABLE IF NOT EXISTS machines (id BIGSERIAL PRIMARY KEY, serial TEXT NOT NULL UNIQUE, hostname TEXT NOT NULL, registered TIMESTAMPTZ NOT NULL,
	version BIGINT NOT NULL, data JSONB NOT NULL);
CREATE TABLE IF NOT EXISTS macs (mac TEXT PRIMARY KEY, machine BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS events (seq BIGSERIAL PRIMARY KEY, at TIMESTAMPTZ NOT NULL, machine BIGINT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_machine ON events (machine, seq);
CREATE TABLE IF NOT EXISTS history (seq BIGSERIAL PRIMARY KEY, at TIMESTAMPTZ NOT NULL, machine BIGINT NOT NULL, data JSONB NOT NULL);
CREATE INDEX IF NOT EXISTS history_machine ON history (machine, seq);`

// plainSQL is what somebody would write first: a row for each machine.
const plainSQL = `INSERT INTO plain (serial, mac, hostname, updated, data) VALUES ($1, $2, $3, now(), $4)
	ON CONFLICT (serial) DO UPDATE SET mac = excluded.mac, hostname = excluded.hostname, updated = excluded.updated, data = excluded.data`

// wholeSQL does what a registration does here, in one statement and so in one
// transaction and one round trip: the machine, its addresses, the event, and the
// hardware where it changed.
const wholeSQL = `WITH old AS (SELECT data FROM machines WHERE serial = $1),
	m AS (INSERT INTO machines (serial, hostname, registered, version, data) VALUES ($1, $2, now(), 1, $3)
		ON CONFLICT (serial) DO UPDATE SET hostname = excluded.hostname, registered = excluded.registered,
			version = machines.version + 1, data = excluded.data RETURNING id),
	a AS (INSERT INTO macs (mac, machine) SELECT unnest($4::text[]), id FROM m
		ON CONFLICT (mac) DO UPDATE SET machine = excluded.machine WHERE macs.machine <> excluded.machine),
	e AS (INSERT INTO events (at, machine, kind, message) SELECT now(), id, 'machine.registered', $5 FROM m)
	INSERT INTO history (at, machine, data) SELECT now(), id, $3 FROM m WHERE NOT EXISTS (SELECT FROM old WHERE data = $3::jsonb)`

// registration is what a baseline stores: the body as it came, and what it says.
type registration struct {
	api.RegisterRequest
	body []byte
}

// saving stores a registration, durably.
type saving func(context.Context, registration) error

// baseline is the handler of a baseline, with its data at where: the socket of
// PostgreSQL, or the folder of a node of rqlite. The kind "none" stores nothing, and is
// the limit of every handler.
func baseline(ctx context.Context, kind, where string) (http.Handler, error) {
	store, err := map[string]func(context.Context, string) (saving, error){
		"none": func(context.Context, string) (saving, error) {
			return func(context.Context, registration) error { return nil }, nil
		},
		"rqlite": saveInNode,
		"plain":  savePlain,
		"whole":  saveWhole,
	}[kind](ctx, where)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in registration
		var err error
		if in.body, err = io.ReadAll(r.Body); err == nil {
			err = json.Unmarshal(in.body, &in.RegisterRequest)
		}
		if err == nil {
			err = store(r.Context(), in)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, http.StatusOK, api.RegisterReply{Status: "committed", ID: in.Hardware.System.Serial, Next: registry.Wait})
	}), nil
}

// savePlain stores by [plainSQL].
func savePlain(ctx context.Context, socket string) (saving, error) {
	pool, err := connectPool(ctx, socket)
	return func(ctx context.Context, r registration) error {
		_, err := pool.Exec(ctx, plainSQL, r.Hardware.System.Serial, r.MAC.String(), r.Hostname, r.body)
		return err
	}, err
}

// saveWhole stores by [wholeSQL].
func saveWhole(ctx context.Context, socket string) (saving, error) {
	pool, err := connectPool(ctx, socket)
	return func(ctx context.Context, r registration) error {
		message := fmt.Sprintf("registered: %s, %d disks", r.Hardware.System.Product, len(r.Hardware.Disks))
		macs := make([]string, len(r.MACs))
		for i, mac := range r.MACs {
			macs[i] = mac.String()
		}
		_, err := pool.Exec(ctx, wholeSQL, r.Hardware.System.Serial, r.Hostname, r.body, macs, message)
		return err
	}, err
}

// connectPool connects with 16 connections and makes the tables.
func connectPool(ctx context.Context, socket string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(source(socket))
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, baselineSchema, pgx.QueryExecModeSimpleProtocol)
	return pool, err
}
