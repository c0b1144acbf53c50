package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// trialOf is a boot that took so long in total, with an agent that took guest.
func trialOf(total, guest int) trial {
	return trial{Guest: ms(guest), Split: split{Firmware: ms(3000), Network: ms(2000), IPXE: ms(4000),
		Kernel: ms(total - 9000 - guest), Agent: ms(guest), Total: ms(total)}}
}

func someResults() []result {
	limit := 20 * time.Second
	return []result{
		{Scenario: "bios", Limit: limit, Trials: []trial{trialOf(16000, 900), trialOf(30000, 1100), trialOf(15000, 1000)}},
		{Scenario: "uefi", Limit: limit, Trials: []trial{trialOf(22000, 1300)}},
		{Scenario: "bios-ipxe", Trials: []trial{trialOf(25000, 2000), trialOf(26000, 2000)}},
		{Scenario: "http", Limit: limit, Trials: []trial{{Err: errors.New("http was not ready within 1m30s")}, trialOf(16000, 900)}},
		{Scenario: "kernel", Limit: limit, Trials: []trial{{Split: split{Kernel: ms(2000), Agent: ms(900), Total: ms(2900)}, Guest: ms(880)}}},
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := printTable(&out, someResults()); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", out.String())
}

func TestReportFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := writeReport(path, "product", someResults()[:4]); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", string(got))
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		trials []trial
		want   time.Duration
	}{
		{"none", nil, 0},
		{"one", []trial{trialOf(10000, 0)}, ms(10000)},
		{"two", []trial{trialOf(10000, 0), trialOf(20000, 0)}, ms(15000)},
		{"three, unordered", []trial{trialOf(30000, 0), trialOf(10000, 0), trialOf(11000, 0)}, ms(11000)},
	} {
		if got := median(c.trials, func(t trial) time.Duration { return t.Split.Total }); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestLimitsPerImage(t *testing.T) {
	want := map[string][2]time.Duration{
		"bios": {20 * time.Second, 17 * time.Second}, "uefi": {20 * time.Second, 17 * time.Second},
		"http": {20 * time.Second, 17 * time.Second}, "kernel": {3 * time.Second, 3 * time.Second},
		"bios-ipxe": {}, "full-nvme": {}, "reboot": {}, "deploy-bios": {}, "deploy-uefi": {}, "once-bios": {}, "once-uefi": {}, "deploy-faults": {}, "deploy-pair": {}, "deploy-again": {},
		"deploy-grub": {}, "deploy-rule": {}, "deploy-worker": {}, "tinkerbell": {}, "installer": {},
	}
	for _, s := range scenarios() {
		got := [2]time.Duration{s.Limit.of("product"), s.Limit.of("cloud")}
		if limit, named := want[s.Name]; !named || got != limit {
			t.Errorf("%s: limits %v, want %v (named: %v)", s.Name, got, limit, named)
		}
	}
}

func TestConclusion(t *testing.T) {
	all := someResults()
	for _, c := range []struct {
		name    string
		strict  bool
		results []result
		line    string
		err     string
	}{
		{"all well", true, all[:1], "\n3 passed, 0 failed\n", ""},
		{"slow", false, all[:2], "\n4 passed, 0 failed\n", ""},
		{"slow and strict", true, all[:2], "\n4 passed, 0 failed\n", "1 scenarios took longer than promised"},
		{"broken", false, all[2:4], "\n3 passed, 1 failed\n", "1 of 4 boots failed"},
	} {
		var out bytes.Buffer
		err := session{Strict: c.strict}.conclude(t.Context(), c.results, &out)
		if out.String() != c.line || errorText(err) != c.err {
			t.Errorf("%s: %q and error %q, want %q and %q", c.name, out.String(), errorText(err), c.line, c.err)
		}
	}
}

func TestTails(t *testing.T) {
	dir := t.TempDir()
	var long bytes.Buffer
	for range 100 {
		long.WriteString("an old line\n")
	}
	long.WriteString("\x1b[2JSeaBIOS\r\nthe last line\n")
	if err := os.WriteFile(filepath.Join(dir, "machine.log"), long.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tails(&out, dir)
	if n := bytes.Count(out.Bytes(), []byte("an old line")); n != tailLines-2 {
		t.Errorf("%d old lines, want %d", n, tailLines-2)
	}
	for _, want := range []string{"[2JSeaBIOS\nthe last line\n", dir} {
		if !bytes.Contains(out.Bytes(), []byte(want)) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if bytes.ContainsAny(out.Bytes(), "\x1b\r") {
		t.Error("the log's control characters reach the terminal")
	}
}
