package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what the trials of one scenario came to.
type result struct {
	Scenario string
	Limit    time.Duration // power-on to ready; 0 where nothing is promised
	Trials   []trial
}

// passed are the trials that went well.
func (r result) passed() []trial {
	return slices.DeleteFunc(slices.Clone(r.Trials), func(t trial) bool { return t.Err != nil })
}

// median is the median of every part by itself, so the parts need not add up.
func (r result) median() trial {
	good := r.passed()
	part := func(of func(trial) time.Duration) time.Duration { return median(good, of) }
	return trial{
		Split: split{
			Firmware: part(func(t trial) time.Duration { return t.Split.Firmware }),
			Network:  part(func(t trial) time.Duration { return t.Split.Network }),
			IPXE:     part(func(t trial) time.Duration { return t.Split.IPXE }),
			Kernel:   part(func(t trial) time.Duration { return t.Split.Kernel }),
			Agent:    part(func(t trial) time.Duration { return t.Split.Agent }),
			Total:    part(func(t trial) time.Duration { return t.Split.Total }),
		},
		Guest: part(func(t trial) time.Duration { return t.Guest }),
	}
}

// median is the middle value, and of an even number the mean of the middle two.
func median(trials []trial, of func(trial) time.Duration) time.Duration {
	if len(trials) == 0 {
		return 0
	}
	var values []time.Duration
	for _, t := range trials {
		values = append(values, of(t))
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// over says which promises the medians break, in words; empty for none.
func (r result) over() string {
	var broken []string
	m := r.median()
	if r.Limit > 0 && m.Split.Total > r.Limit {
		broken = append(broken, fmt.Sprintf("total %s > %s", seconds(m.Split.Total), seconds(r.Limit)))
	}
	// The promise is for one NIC and one disk; the machine with more has none.
	if m.Guest > agentLimit && r.Limit > 0 {
		broken = append(broken, fmt.Sprintf("agent %s > %s", seconds(m.Guest), seconds(agentLimit)))
	}
	return strings.Join(broken, ", ")
}

// printTable writes one line per scenario, in seconds.
func printTable(out io.Writer, results []result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "scenario\truns\tfirmware\tdhcp+tftp\tipxe+http\tkernel\tagent\ttotal\tlimit\tin guest\t  verdict")
	for _, r := range results {
		m, good := r.median(), len(r.passed())
		fmt.Fprintf(table, "%s\t%d/%d\t", r.Scenario, good, len(r.Trials))
		for _, d := range []time.Duration{m.Split.Firmware, m.Split.Network, m.Split.IPXE, m.Split.Kernel,
			m.Split.Agent, m.Split.Total, r.Limit, m.Guest} {
			fmt.Fprintf(table, "%s\t", seconds(d))
		}
		fmt.Fprintf(table, "  %s\n", r.verdict())
	}
	return table.Flush()
}

func (r result) verdict() string {
	switch over := r.over(); {
	case len(r.passed()) < len(r.Trials):
		return "FAILED"
	case over != "":
		return "OVER: " + over
	}
	return "ok"
}

// seconds prints a duration with two digits, and one that was not measured as a dash.
func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", d.Seconds())
}

// jsonSplit is a split in seconds, as the report file has it.
type jsonSplit struct {
	Firmware float64 `json:"firmware,omitempty"`
	Network  float64 `json:"dhcp_tftp,omitempty"`
	IPXE     float64 `json:"ipxe_http,omitempty"`
	Kernel   float64 `json:"kernel,omitempty"`
	Agent    float64 `json:"agent,omitempty"`
	Total    float64 `json:"total,omitempty"`
	Guest    float64 `json:"agent_in_guest,omitempty"`
	Error    string  `json:"error,omitempty"`
}

func (t trial) json() jsonSplit {
	j := jsonSplit{
		Firmware: t.Split.Firmware.Seconds(), Network: t.Split.Network.Seconds(), IPXE: t.Split.IPXE.Seconds(),
		Kernel: t.Split.Kernel.Seconds(), Agent: t.Split.Agent.Seconds(), Total: t.Split.Total.Seconds(),
		Guest: t.Guest.Seconds(),
	}
	if t.Err != nil {
		j.Error = t.Err.Error()
	}
	return j
}

// jsonResult is one scenario of the report file. Times are in seconds.
type jsonResult struct {
	Scenario string      `json:"scenario"`
	Verdict  string      `json:"verdict"`
	Limit    float64     `json:"limit,omitempty"`
	Median   jsonSplit   `json:"median"`
	Trials   []jsonSplit `json:"trials"`
}

// writeReport writes the results as JSON for whoever compares runs.
func writeReport(path, image string, results []result) error {
	report := struct {
		Image     string       `json:"image"`
		Scenarios []jsonResult `json:"scenarios"`
	}{Image: image}
	for _, r := range results {
		j := jsonResult{Scenario: r.Scenario, Verdict: r.verdict(), Limit: r.Limit.Seconds(), Median: r.median().json()}
		for _, t := range r.Trials {
			j.Trials = append(j.Trials, t.json())
		}
		report.Scenarios = append(report.Scenarios, j)
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// tailLines is how much of each log a failure prints.
const tailLines = 25

// tails prints the ends of the logs in dir.
func tails(out io.Writer, dir string) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is well formed
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(out, err)
			continue
		}
		lines := strings.Split(strings.TrimSpace(printable(string(data))), "\n")
		fmt.Fprintf(out, "\n--- the end of %s\n%s\n", path, strings.Join(lines[max(0, len(lines)-tailLines):], "\n"))
	}
	fmt.Fprintf(out, "\n--- everything, with the packets: %s\n", cmp.Or(dir, "nothing was kept"))
}

// printable drops what would move the cursor of the terminal: firmware draws.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}
