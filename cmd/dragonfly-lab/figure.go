package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figure is one line of the table of "bench": what was measured, and what is
// promised of it.
type figure struct {
	Name     string
	Measured string  // with its unit
	Value    float64 // what the limit is about
	Limit    float64 // the most that Value may be; noLimit where nothing is promised
	Unit     string  // of Value and Limit
}

const noLimit = -1

func (f figure) verdict() string {
	switch {
	case f.Limit == noLimit:
		return ""
	case f.Value > f.Limit:
		return "OVER"
	}
	return "ok"
}

// timed is a figure of how long requests took: its 99th percentile counts. cpu is
// what all of them cost the server, which a busy host changes little.
func timed(name string, took []time.Duration, cpu, limit time.Duration) figure {
	p99 := milliseconds(percentile(took, 99))
	return figure{Name: name, Value: p99, Limit: milliseconds(limit), Unit: "ms",
		Measured: fmt.Sprintf("p99 %.2f ms (median %.2f, max %.2f, n %d; CPU %.2f each)", p99, milliseconds(percentile(took, 50)),
			milliseconds(percentile(took, 100)), len(took), milliseconds(cpu)/float64(max(1, len(took))))}
}

// plain is a figure of one number.
func plain(name string, value, limit float64, unit string) figure {
	return figure{Name: name, Measured: fmt.Sprintf("%.4g %s", value, unit), Value: value, Limit: limit, Unit: unit}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// percentile is the smallest value that p percent of all are not above (nearest
// rank); 0 of none.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// printFigures writes one line per figure.
func printFigures(out io.Writer, figures []figure) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "figure\tmeasured\tlimit\tverdict")
	for _, f := range figures {
		limit := "-"
		if f.Limit != noLimit {
			limit = fmt.Sprintf("%.4g %s", f.Limit, f.Unit)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Name, f.Measured, limit, f.verdict())
	}
	return table.Flush()
}

// broken counts the figures above their limits.
func broken(figures []figure) (n int) {
	for _, f := range figures {
		if f.verdict() == "OVER" {
			n++
		}
	}
	return n
}
