package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdp "github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dragonfly/ui/uitest"
)

// shots is one call of "dragonfly-lab shots".
type shots struct {
	Dragonfly string
	ImageDir  string
	Out       string // directory
	Machines  []int  // how many there are, of each series
	Pages     []string
	Tall      int64 // pixels of a page that are taken at most

	out io.Writer
}

func shotsCommand() *cobra.Command {
	var s shots
	cmd := &cobra.Command{
		Use:   "shots",
		Short: "Take pictures of every page",
		Long: `Run the appliance with no machine, a few and thousands, let simulated agents register
and install through its API, and take a picture of every page, in both themes, on a
phone and on a desk.

It needs chromium, no root and no virtual machine.`,
		Args: cobra.NoArgs,
		// Instead of that of the virtual rack: none of its tools is needed.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.Dragonfly, s.ImageDir, s.out = cmd.Flag("dragonfly").Value.String(), cmd.Flag("image-dir").Value.String(), cmd.OutOrStdout()
			return s.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Out, "out", "bin/screenshots", "`folder` for the pictures")
	flags.IntSliceVar(&s.Machines, "machines", []int{0, 3, 5000}, "a series of pictures for each of these numbers of machines")
	flags.Int64Var(&s.Tall, "tall", 2400, "how much of a page is taken at most, in `pixels`")
	flags.StringSliceVar(&s.Pages, "page", nil, "only pages of which the `name` begins like this; may be repeated")
	return cmd
}

func (s *shots) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.Out, 0o755); err != nil {
		return err
	}
	browser, err := uitest.Start(ctx)
	if err != nil {
		return err
	}
	defer browser.End()
	for _, n := range s.Machines {
		if err := s.series(ctx, browser, n); err != nil {
			return fmt.Errorf("%d machines: %w", n, err)
		}
	}
	return nil
}

// series takes the pictures of an appliance with n machines.
func (s *shots) series(ctx context.Context, browser *uitest.Browser, n int) (err error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	if _, err := fill(ctx, data, max(0, n-extras)); err != nil {
		return err
	}
	a, _, err := startSubject(ctx, s.Dragonfly, data, "--image-dir", s.ImageDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop(stopGrace)) }()
	window, cancel := chromedp.NewContext(browser.Context, chromedp.WithNewBrowserContext())
	defer cancel()
	if n == 0 {
		if err := s.take(window, a.url, n, firstPages()); err != nil {
			return err
		}
	}
	if err := a.enter(ctx); err != nil {
		return err
	}
	if err := a.lend(window); err != nil {
		return err
	}
	if n == 0 {
		return s.take(window, a.url, n, everyPage())
	}
	return s.perform(ctx, window, a, n)
}

// perform takes the pictures of an appliance at which something happens.
func (s *shots) perform(ctx context.Context, window context.Context, a *subject, n int) error {
	p, err := begin(ctx, a)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.goOn(ctx) })
	group.Go(func() error {
		defer end()
		return s.take(window, a.url, n, slices.Concat(everyPage(), p.pages()))
	})
	return group.Wait()
}

// lend gives a window of a browser the session of the viewer.
func (s *subject) lend(window context.Context) error {
	at, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	for _, c := range s.viewer.Jar.Cookies(at) {
		if _, err := chromedp.Call(window, cdp.SetCookie, cdp.SetCookieParams{Name: c.Name, Value: c.Value, URL: s.url}); err != nil {
			return fmt.Errorf("sign in to the browser: %w", err)
		}
	}
	return nil
}

// settle is for a live page to draw what is sent to it once it is open.
const settle = 700 * time.Millisecond

// take opens every page and takes it in both themes, narrow and wide.
func (s *shots) take(window context.Context, base string, machines int, pages []view) error {
	for _, v := range pages {
		if !s.wanted(v.name) {
			continue
		}
		if err := chromedp.Do(window, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(base+v.path), chromedp.Sleep(settle)); err != nil {
			return fmt.Errorf("%s: %w", v.path, err)
		}
		if err := v.press(window); err != nil {
			return fmt.Errorf("%s: %w", v.path, err)
		}
		for _, width := range []int64{1440, 360} {
			for _, theme := range []string{"light", "dark"} {
				name := fmt.Sprintf("%s-%d-%s-%d.webp", v.name, machines, theme, width)
				if err := s.picture(window, filepath.Join(s.Out, name), theme, width); err != nil {
					return fmt.Errorf("%s: %w", v.path, err)
				}
			}
		}
		fmt.Fprintf(s.out, "%d machines: %s\n", machines, v.path)
	}
	return nil
}

func (s *shots) wanted(name string) bool {
	for _, p := range s.Pages {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return len(s.Pages) == 0
}

// picture takes the page that is open, from its top on.
func (s *shots) picture(window context.Context, path, theme string, width int64) error {
	height := map[int64]int64{1440: 900, 360: 740}[width]
	if err := chromedp.Do(window, uitest.Media("prefers-color-scheme", theme, "prefers-reduced-motion", "reduce"),
		chromedp.EmulateViewport(width, height), chromedp.Sleep(100*time.Millisecond)); err != nil {
		return err
	}
	tall, err := chromedp.Run(window, chromedp.Evaluate[float64]("document.documentElement.scrollHeight"))
	if err != nil {
		return err
	}
	if err := chromedp.Do(window, chromedp.EmulateViewport(width, min(s.Tall, max(height, int64(tall))))); err != nil {
		return err
	}
	quality := int64(82)
	taken, err := chromedp.Call(window, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: "webp", Quality: &quality})
	if err != nil {
		return err
	}
	return os.WriteFile(path, taken.Data, 0o644)
}
