package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// lighthouse is one call of "dragonfly-lab lighthouse".
type lighthouse struct {
	Dragonfly string
	ImageDir  string
	Program   string // lighthouse's own, from npm
	Chromium  string
	Machines  int
	Forms     []string

	out io.Writer
}

func lighthouseCommand() *cobra.Command {
	var l lighthouse
	cmd := &cobra.Command{
		Use:   "lighthouse",
		Short: "What Lighthouse makes of the list of machines and of a machine's page",
		Long: `Run the appliance with some machines, sign in, and have Lighthouse look at the list of
machines and at the page of one, as a phone and as a desk: performance, accessibility and
best practice, of 100 each, and what it found. It fails where one is below 95.

It needs node and chromium, no root and no virtual machine. Performance depends on what
else the host does meanwhile.`,
		Args:              cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // none of the rack's tools is needed
		RunE: func(cmd *cobra.Command, _ []string) error {
			l.Dragonfly, l.ImageDir, l.out = cmd.Flag("dragonfly").Value.String(), cmd.Flag("image-dir").Value.String(), cmd.OutOrStdout()
			return l.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&l.Program, "program", "ui/lighthouse/node_modules/.bin/lighthouse", "`file` of lighthouse")
	cmd.Flags().StringVar(&l.Chromium, "chromium", "/usr/bin/chromium", "`file` of the browser")
	cmd.Flags().StringSliceVar(&l.Forms, "form", []string{"desktop", "mobile"}, "what it pretends to be")
	cmd.Flags().IntVar(&l.Machines, "machines", 500, "how many there are")
	return cmd
}

func (l *lighthouse) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	all, err := fill(ctx, data, l.Machines)
	if err != nil {
		return err
	}
	a, _, err := startSubject(ctx, l.Dragonfly, data, "--image-dir", l.ImageDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop(stopGrace)) }()
	if err := a.enter(ctx); err != nil {
		return err
	}
	headers := filepath.Join(dir, "headers.json") // not on a command line: it is a session
	if err := a.session(headers); err != nil {
		return err
	}
	for _, page := range []string{"/machines", "/machines/" + all[0].ID} {
		for _, form := range l.Forms {
			err = errors.Join(err, l.judge(ctx, a.url+page, form, headers))
		}
	}
	return err
}

// session writes the viewer's cookies as Lighthouse sends them.
func (s *subject) session(file string) error {
	at, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	var cookies []string
	for _, c := range s.viewer.Jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	text, err := json.Marshal(map[string]string{"Cookie": strings.Join(cookies, "; ")})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// wantedScore is what each category has to come to, of 100.
const wantedScore = 95

// verdict is what is read of Lighthouse's report.
type verdict struct {
	FinalURL   string `json:"finalDisplayedUrl"`
	Categories map[string]struct {
		Score  *float64 `json:"score"`
		Audits []struct {
			ID     string  `json:"id"`
			Weight float64 `json:"weight"`
		} `json:"auditRefs"`
	} `json:"categories"`
	Audits map[string]struct {
		Title string   `json:"title"`
		Score *float64 `json:"score"`
		Value string   `json:"displayValue"`

		Details struct {
			Items json.RawMessage `json:"items"`
		} `json:"details"`
	} `json:"audits"`
}

// judge has Lighthouse look at one page.
func (l *lighthouse) judge(ctx context.Context, page, form, headers string) error {
	args := []string{page, "--quiet", "--output=json", "--only-categories=performance,accessibility,best-practices", "--max-wait-for-load=20000",
		"--extra-headers=" + headers, "--chrome-flags=--headless=new --no-sandbox --disable-gpu"}
	if form == "desktop" {
		args = append(args, "--preset=desktop")
	}
	cmd := exec.CommandContext(ctx, l.Program, args...)
	cmd.Env = append(os.Environ(), "CHROME_PATH="+l.Chromium)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("lighthouse %s: %w", page, err)
	}
	var v verdict
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("lighthouse %s: %w", page, err)
	}
	if v.FinalURL != page { // such as that of the sign-in page
		return fmt.Errorf("lighthouse looked at %s, and not at %s", v.FinalURL, page)
	}
	return l.tell(v, form)
}

// tell prints a verdict, with what cost points.
func (l *lighthouse) tell(v verdict, form string) (err error) {
	fmt.Fprintf(l.out, "%s, %s\n", v.FinalURL, form)
	for _, name := range []string{"performance", "accessibility", "best-practices"} {
		c := v.Categories[name]
		if c.Score == nil {
			err = errors.Join(err, fmt.Errorf("%s, %s: lighthouse has no score for %s", v.FinalURL, form, name))
			continue
		}
		score := math.Round(*c.Score * 100)
		fmt.Fprintf(l.out, "  %-15s %3.0f\n", name, score)
		if score < wantedScore {
			err = errors.Join(err, fmt.Errorf("%s, %s: %s is %.0f, want %d", v.FinalURL, form, name, score, wantedScore))
		}
		for _, ref := range c.Audits {
			if a := v.Audits[ref.ID]; ref.Weight > 0 && a.Score != nil && *a.Score < 0.9 {
				fmt.Fprintf(l.out, "    %s: %s %s\n", ref.ID, a.Title, a.Value)
				fmt.Fprintf(l.out, "      %.600s\n", a.Details.Items)
			}
		}
	}
	return err
}
