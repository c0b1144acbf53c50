package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/auth"
)

// The environment of the benchmark. The first two are for its operator: how many
// rounds, and how long one measurement takes. The others tell this binary to be
// one of the servers that are compared.
const (
	envRounds    = "DRAGONFLY_BENCH_ROUNDS"
	envSlice     = "DRAGONFLY_BENCH_SLICE"
	envContender = "DRAGONFLY_BENCH_CONTENDER"
	envWhere     = "DRAGONFLY_BENCH_WHERE"
)

// contender is a server in a process of its own.
type contender struct {
	name    string
	where   string // its data, or the directory of its PostgreSQL; empty: it has none
	address string
	fleet   *fleet
	cmd     *exec.Cmd
}

// contenders are what is compared: the appliance first, and as limits itself without
// a store (see [forgetful]), a server that only reads the request, and one that stores
// a row of it in rqlite. The baselines are left out where there is no PostgreSQL.
func contenders(b *testing.B) (*contender, []*contender) {
	dir, null := b.TempDir(), b.TempDir()
	ours := startContender(b, "dragonfly", dir, newFleet(tokensOf(b, dir)))
	all := []*contender{ours, startContender(b, "null", null, newFleet(tokensOf(b, null))), startContender(b, "none", "", newFleet(nil)),
		startContender(b, "rqlite", b.TempDir(), newFleet(nil))}
	if socket := postgres(b); socket != "" {
		all = append(all, startContender(b, "plain", socket, newFleet(nil)), startContender(b, "whole", socket, newFleet(nil)))
	}
	return ours, all
}

// tokensOf are the tokens of the appliance with its data in dir, which must not
// run.
func tokensOf(b *testing.B, dir string) *auth.Tokens {
	cfg, log := config{DataDir: dir}, slog.New(slog.DiscardHandler)
	standby, err := openStandby(dir, log)
	if err != nil {
		b.Fatal(err)
	}
	db, err := openDatabase(b.Context(), databaseConfig{config: cfg}, log)
	if err != nil {
		b.Fatal(err)
	}
	a, err := newAppliance(b.Context(), cfg, db, standby, log)
	if err := errors.Join(err, db.close(), standby.close()); err != nil {
		b.Fatal(err)
	}
	return a.tokens
}

func startContender(b *testing.B, name, where string, f *fleet) *contender {
	p := &contender{name: name, where: where, fleet: f, cmd: exec.Command(os.Args[0], "-test.run=^TestContender$")}
	p.cmd.Env = append(os.Environ(), envContender+"="+name, envWhere+"="+where)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "listening on %s", &p.address); err == nil {
			return p
		}
	}
	b.Fatalf("%s did not start", name)
	return nil
}

// kill ends the process as a loss of power would: without warning.
func (p *contender) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
}

// memory is what the process has resident, in MB.
func (p *contender) memory() float64 {
	statm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return float64(pages*os.Getpagesize()) / 1e6
}

// TestContender is not a test but one of the servers of [BenchmarkRegistrations].
func TestContender(t *testing.T) {
	name, where := os.Getenv(envContender), os.Getenv(envWhere)
	if name == "" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if name != "dragonfly" && name != "null" {
		handler, err := baseline(t.Context(), name, where)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("listening on", l.Addr())
		t.Fatal(http.Serve(l, handler))
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := config{Host: "127.0.0.1", Port: port, DataDir: where, ImageDir: filepath.Join(where, "images")}
	go func() {
		for ready := "http://" + l.Addr().String() + "/readyz"; ; time.Sleep(time.Millisecond) {
			if answer, err := http.Get(ready); err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK {
				fmt.Println("listening on", l.Addr())
				return
			}
		}
	}()
	run := serve
	if name == "null" {
		run = serveForgetful
	}
	t.Fatal(run(context.Background(), cfg, slog.New(slog.NewTextHandler(errorLog(t, where), nil))))
}

// errorLog is where the appliance logs to, as it does under systemd: not nowhere,
// since that would cost nothing.
func errorLog(t *testing.T, dir string) *os.File {
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fdatasyncs is how often 4 kB can be made durable in a second, one after the
// other: the limit of every write.
func fdatasyncs(b *testing.B, long time.Duration) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block, begin, n := make([]byte, 4096), time.Now(), 0
	for ; time.Since(begin) < long; n++ {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}

// setting is a number of the environment, or a default.
func setting(b *testing.B, name string, otherwise int) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil || n < 1 {
		b.Fatalf("%s=%s: want a number above 0", name, os.Getenv(name))
	}
	return n
}

// BenchmarkRegistrations compares what agents get of the appliance, and of what
// somebody would write first over PostgreSQL: each server in a process of its
// own, one after the other in each round, with the rate of the disk beside them.
// Every machine is a new one, except where it says so.
func BenchmarkRegistrations(b *testing.B) {
	rounds, slice := setting(b, envRounds, 3), time.Duration(setting(b, envSlice, 2000))*time.Millisecond
	ours, all := contenders(b)
	t := table{}
	for range rounds {
		t.add("fdatasync of 4 kB", 1, fdatasyncs(b, slice/4))
		for _, clients := range []int{8, 64} {
			for _, p := range all {
				t.addOutcome(p, "", clients, func() outcome { return p.fleet.closed(b, p.address, clients, slice) })
			}
		}
	}
	known := int(min(1000, ours.fleet.next.Load()))
	for range rounds {
		for _, p := range all {
			if p.name == "null" { // it knows none
				continue
			}
			t.addOutcome(p, ", known machines", 64, func() outcome { return p.fleet.again(b, p.address, 64, known, slice) })
		}
	}
	for range rounds {
		for _, p := range all {
			t.addOutcome(p, ", 1,000/s", 200, func() outcome { return p.fleet.open(b, p.address, 1000, slice) })
		}
	}
	b.Logf("registrations of %d bytes\n%s", len(ours.fleet.request(nil, 1)), t.render())
	b.ReportMetric(0, "ns/op") // the table says it
}

// BenchmarkStorm is a data centre that comes back: 10,000 machines nobody knows,
// from 200 clients. The process is killed after the last answer, and every one of
// them must be there.
func BenchmarkStorm(b *testing.B) {
	dir := b.TempDir()
	ours := startContender(b, "dragonfly", dir, newFleet(tokensOf(b, dir)))
	before, cpu := ours.memory(), ours.cpu()
	const machines = 10_000
	o := ours.fleet.storm(b, ours.address, 200, machines)
	after, cpu := ours.memory(), ours.cpu()-cpu
	ours.kill()
	if found := machinesIn(b, dir); found != machines {
		b.Errorf("%d of %d machines survived", found, machines)
	}
	b.ReportMetric(o.elapsed.Seconds(), "s")
	b.ReportMetric(ms(o.quantile(.99)), "p99-ms")
	b.ReportMetric(ms(o.quantile(1)), "max-ms")
	b.ReportMetric(float64(cpu.Microseconds())/machines, "CPU-µs/machine")
	b.ReportMetric(before, "MB-before")
	b.ReportMetric(after, "MB-after")
	b.ReportMetric(0, "ns/op")
}

// machinesIn counts the machines of an appliance that does not run.
func machinesIn(b *testing.B, dir string) int {
	db, err := openDatabase(b.Context(), databaseConfig{config: config{DataDir: dir}}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	found, err := db.store.Machines(b.Context(), registry.Query{Brief: true})
	if err := errors.Join(err, db.close()); err != nil {
		b.Fatal(err)
	}
	return len(found)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// table gathers figures by name and number of clients, one of each per round.
type table struct{ rows []*tableRow }

type tableRow struct {
	name                string
	clients             int
	rate, p50, p99, cpu []float64
}

// row finds a row; an empty one that is not in the table where there is none.
func (t *table) row(name string, clients int) *tableRow {
	i := slices.IndexFunc(t.rows, func(r *tableRow) bool { return r.name == name && r.clients == clients })
	if i < 0 {
		return &tableRow{name: name, clients: clients}
	}
	return t.rows[i]
}

func (t *table) add(name string, clients int, rate float64) {
	r := t.row(name, clients)
	if r.rate == nil {
		t.rows = append(t.rows, r)
	}
	r.rate = append(r.rate, rate)
}

// addOutcome adds what a load got of a server, and what each request cost it: CPU
// time says more on a busy host than a rate does.
func (t *table) addOutcome(p *contender, what string, clients int, load func() outcome) {
	before := p.cpu()
	o := load()
	t.add(p.name+what, clients, o.rate())
	r := t.row(p.name+what, clients)
	r.p50, r.p99 = append(r.p50, ms(o.quantile(.5))), append(r.p99, ms(o.quantile(.99)))
	r.cpu = append(r.cpu, float64((p.cpu()-before).Microseconds())/float64(max(1, len(o.took))))
}

// render is the table, with the ratio to what it is compared with: the baseline
// of the same name and number of clients, round by round.
func (t *table) render() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tclients\tper second\tp50 ms\tp99 ms\tCPU µs\tto plain\tto whole\t")
	measured := false
	for _, r := range t.rows {
		_, what, _ := strings.Cut(r.name, ",")
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s", r.name, r.clients, spread(r.rate, "%.0f"), spread(r.p50, "%.1f"), spread(r.p99, "%.1f"), spread(r.cpu, "%.0f"))
		for _, with := range []string{"plain", "whole"} {
			name := with
			if what != "" {
				name += "," + what
			}
			ratios := ratios(r.rate, t.row(name, r.clients).rate)
			measured = measured || ratios != nil
			fmt.Fprintf(w, "\t%s", spread(ratios, "%.2f"))
		}
		fmt.Fprintln(w, "\t")
	}
	w.Flush()
	if !measured {
		text.WriteString("PostgreSQL: NOT MEASURED, since it is not installed (Debian: apt-get install postgresql)\n")
	}
	return text.String()
}

func ratios(a, b []float64) (of []float64) {
	for i := range min(len(a), len(b)) {
		of = append(of, a[i]/b[i])
	}
	return of
}

// spread is the median, and the least and the most.
func spread(values []float64, format string) string {
	if len(values) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ["+format+"-"+format+"]", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}
