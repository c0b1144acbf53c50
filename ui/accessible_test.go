package ui

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

// Everybody can use the pages, on a phone and on a desk, by day and by night:
// names for screen readers, contrast (AA), and the rest of what axe checks.
func TestBrowserAccessible(t *testing.T) {
	k := newRack(8)
	server := httptest.NewServer(newUI(t, k, func(c *Config) {
		c.Sessions = &desk{}
		c.Problems = func() []string { return []string{"agent image not built: run dragonfly image build"} }
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	empty := httptest.NewServer(newUI(t, newRack(0)))
	t.Cleanup(empty.Close)
	t.Cleanup(empty.CloseClientConnections)
	reference := httptest.NewServer(described(t))
	t.Cleanup(reference.Close)
	t.Cleanup(reference.CloseClientConnections)
	w := uitest.New(t)
	w.Accessible(server.URL+"/machines", empty.URL+"/machines", empty.URL+"/login", empty.URL+"/nothing", reference.URL+"/docs")
}

// Nothing is wider than the smallest phone and nothing to press is too small
// for a thumb.
func TestBrowserPhone(t *testing.T) {
	server := httptest.NewServer(newUI(t, newRack(120)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(360, 740), chromedp.Navigate(server.URL+"/machines"))
	w.Says(".pulse", "Live")
	w.Wait("document.documentElement.scrollWidth <= 360")
	small, err := chromedp.Run(w.Context, chromedp.Evaluate[string](`[...document.querySelectorAll("main a, button")]
		.filter((e) => e.checkVisibility() && (e.getBoundingClientRect().width < 44 || e.getBoundingClientRect().height < 44))
		.map((e) => e.outerHTML).join("\n")`))
	if err != nil {
		t.Fatal(err)
	}
	if small != "" {
		t.Errorf("too small for a thumb:\n%s", small)
	}
}

var (
	tableTag  = regexp.MustCompile(`<table class="([^"]*)"`)
	headTag   = regexp.MustCompile(`<th scope="col">([^<{]+)</th>`)
	cellTag   = regexp.MustCompile(`<td\b[^>]*>`)
	labelAttr = regexp.MustCompile(`data-label="([^"]*)"`)
)

// On a phone every table is a pile of cards, where the heads of the columns are out of
// sight: each cell has that of its column, but those that are buttons, and those of a
// machine in the list, which read by themselves.
func TestCellsHaveLabels(t *testing.T) {
	files, err := filepath.Glob("*.templ")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	heads, cells := map[string]bool{}, 0
	sources := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[file] = string(text)
		for _, head := range headTag.FindAllStringSubmatch(sources[file], -1) {
			heads[head[1]] = true
		}
	}
	for file, text := range sources {
		for _, table := range tableTag.FindAllStringSubmatch(text, -1) {
			if classes := strings.Fields(table[1]); classes[len(classes)-1] != "stack" && classes[len(classes)-1] != "machines" {
				t.Errorf("%s: a table of class %q stays one on a phone", file, table[1])
			}
		}
		if file == "row.templ" {
			continue
		}
		for _, cell := range cellTag.FindAllString(text, -1) {
			cells++
			if strings.Contains(cell, `class="does"`) || strings.Contains(cell, "data-label={") {
				continue
			}
			if label := labelAttr.FindStringSubmatch(cell); label == nil || !heads[label[1]] {
				t.Errorf("%s: %s has not the head of a column as its label", file, cell)
			}
		}
	}
	if cells < 40 {
		t.Errorf("%d cells were found", cells)
	}
}
