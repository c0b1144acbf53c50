package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// session is one call of "dragonfly-lab run".
type session struct {
	options
	Only   []string
	Runs   int
	Image  string // product or cloud: which limits count
	Report string // file; empty for none
	Strict bool
}

func runCommand(o *options) *cobra.Command {
	var s session
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Boot machines in every way and report where the time went",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.options = *o
			return s.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&s.Only, "only", nil, "scenarios to run, by name (default: all)")
	flags.IntVar(&s.Runs, "runs", 1, "how often each; the report has the medians")
	flags.StringVar(&s.Image, "image", "product", "what the image directory holds: product or cloud; decides the limits")
	flags.StringVar(&s.Report, "report", "", "write the figures to this file as JSON")
	flags.BoolVar(&s.Strict, "strict", false, "fail also when a time limit is exceeded")
	return cmd
}

func (s session) run(ctx context.Context, out io.Writer) error {
	chosen, err := choose(s.Only)
	if err != nil {
		return err
	}
	if s.Image != "product" && s.Image != "cloud" {
		return fmt.Errorf("--image %q: want product or cloud", s.Image)
	}
	if s.Runs < 1 {
		return fmt.Errorf("--runs %d: want at least 1", s.Runs)
	}
	results := s.play(ctx, chosen, out)
	fmt.Fprintln(out)
	if err := printTable(out, results); err != nil {
		return err
	}
	if s.Report != "" {
		if err := writeReport(s.Report, s.Image, results); err != nil {
			return err
		}
	}
	return s.conclude(ctx, results, out)
}

// play runs every chosen scenario, and goes on where one fails.
func (s session) play(ctx context.Context, chosen []scenario, out io.Writer) []result {
	var results []result
	for _, sc := range chosen {
		r := result{Scenario: sc.Name, Limit: sc.Limit.of(s.Image)}
		for i := range s.Runs {
			if ctx.Err() != nil {
				return results
			}
			t := try(ctx, s.options, sc, out)
			r.Trials = append(r.Trials, t)
			for _, note := range t.Notes {
				fmt.Fprintln(out, "      "+note)
			}
			if t.Err != nil {
				fmt.Fprintf(out, "FAIL  %-10s %d/%d  %v\n", sc.Name, i+1, s.Runs, t.Err)
				continue
			}
			fmt.Fprintf(out, "ok    %-10s %d/%d  %6.2f s  %s\n", sc.Name, i+1, s.Runs, t.Split.Total.Seconds(), sc.About)
		}
		results = append(results, r)
	}
	return results
}

// conclude prints the closing line and turns what failed into an error.
func (s session) conclude(ctx context.Context, results []result, out io.Writer) error {
	passed, failed, over := 0, 0, 0
	for _, r := range results {
		good := len(r.passed())
		passed, failed = passed+good, failed+len(r.Trials)-good
		if r.over() != "" {
			over++
		}
	}
	fmt.Fprintf(out, "\n%d passed, %d failed\n", passed, failed)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	case failed > 0:
		return fmt.Errorf("%d of %d boots failed", failed, passed+failed)
	case s.Strict && over > 0:
		return fmt.Errorf("%d scenarios took longer than promised", over)
	}
	return nil
}
