package uitest

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Browser is Debian's chromium, without a window on a screen. Its pages are opened in
// contexts of chromedp that have Context above them.
type Browser struct {
	Context context.Context
	end     context.CancelFunc
}

// Start starts a browser with a fresh profile, which ends with ctx or by End.
func Start(ctx context.Context) (*Browser, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("start a browser: %w: apt-get install chromium", err)
	}
	ctx, ended := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(2*time.Minute), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	ctx, end := chromedp.NewContext(ctx)
	b := &Browser{Context: ctx, end: func() { end(); ended() }}
	if err := chromedp.Do(ctx); err != nil {
		b.End()
		return nil, fmt.Errorf("start a browser: %w", err)
	}
	return b, nil
}

// End ends the browser and waits for that.
func (b *Browser) End() { b.end() }

// shared is the browser of the tests of a package. Each window is a profile of its own
// in it, so that starting it is paid for once.
var shared struct {
	sync.Mutex
	*Browser
}

// Main runs the tests of a package whose tests open windows, and returns what it exits with.
func Main(m *testing.M) int {
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.Browser != nil {
			shared.End()
		}
	}()
	return m.Run()
}

// started is the shared browser, which the first that asks starts.
func started() (*Browser, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.Browser == nil {
		b, err := Start(context.Background())
		if err != nil {
			return nil, err
		}
		shared.Browser = b
	}
	return shared.Browser, nil
}
