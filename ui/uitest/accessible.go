package uitest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe is the script of axe-core, from what the UI's own scripts are built of.
var axe = sync.OnceValues(func() (string, error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find axe-core: go env GOMOD: %w", err)
	}
	script, err := os.ReadFile(filepath.Join(filepath.Dir(string(module)), "ui/node_modules/axe-core/axe.min.js"))
	if err != nil {
		err = fmt.Errorf("axe-core is not installed: run npm ci in ui/: %w", err)
	}
	return string(script), err
})

// findings runs axe in the page and tells what is wrong, one line each.
const findings = `axe.run({resultTypes: ["violations"], runOnly: %s}).then(({violations}) => violations.flatMap((v) =>
	v.nodes.map((n) => v.id + ": " + n.html.slice(0, 200) + " " + (n.any[0]?.message ?? ""))).join("\n"))`

// The rules of axe: all, and those of which the outcome is another in another theme.
const (
	everyRule   = "undefined"
	colourRules = `["color-contrast", "link-in-text-block"]`
)

// Accessible opens each address and fails the test where its page is not for everybody,
// on a phone and on a desk, by day and by night: names for screen readers, contrast
// (AA), and the rest of what axe checks; and nothing is wider than the screen.
func (w *Window) Accessible(addresses ...string) {
	w.t.Helper()
	for _, address := range addresses {
		w.Do(chromedp.Navigate(address))
		w.AccessibleHere()
	}
}

// AccessibleHere is [Window.Accessible] of the page that is open.
func (w *Window) AccessibleHere() {
	w.t.Helper()
	script, err := axe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.Eval(script)
	for _, width := range []int64{360, 1440} {
		for _, shown := range [][2]string{{"light", everyRule}, {"dark", colourRules}} {
			theme, rules := shown[0], shown[1]
			w.Do(Media("prefers-color-scheme", theme, "prefers-reduced-motion", "reduce"), chromedp.EmulateViewport(width, 900))
			w.Wait(fmt.Sprintf("document.documentElement.dataset.bsTheme === %q && innerWidth === %d && document.documentElement.scrollWidth <= innerWidth", theme, width))
			w.finds(rules, fmt.Sprint(theme, ", ", width, " pixels"))
		}
	}
}

// finds fails the test where rules of axe find something in the page as it is shown now.
func (w *Window) finds(rules, shown string) {
	w.t.Helper()
	found, err := chromedp.Run(w.Context, chromedp.Evaluate[string](fmt.Sprintf(findings, rules), chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatal(err)
	}
	if found != "" {
		at, _ := chromedp.Run(w.Context, chromedp.Location())
		w.t.Errorf("%s, %s:\n%s", at, shown, found)
	}
}

// Media emulates what a style sheet can ask for; features is pairs of names and
// values.
func Media(features ...string) chromedp.Action[chromedp.Void] {
	var params emulation.SetEmulatedMediaParams
	for i := 0; i < len(features); i += 2 {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, params)
		return err
	})
}
