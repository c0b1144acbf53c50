package ipxe

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// orders is the boots of one machine, m-1, that has taken an order by the key K3Y.
type orders struct {
	registry.BootOrder
	away   bool
	taken  time.Time
	failed []string // machine and key
}

func (o *orders) PeekBoot(context.Context, string) (registry.BootOrder, error) {
	return o.BootOrder, nil
}

func (o *orders) TakeBoot(context.Context, string) (registry.BootOrder, error) {
	order := o.BootOrder
	order.Key, o.taken = "K3Y", time.Now()
	return order, nil
}

func (o *orders) TakenBoot(_ context.Context, machine, key string) (registry.BootOrder, error) {
	switch {
	case o.away:
		return registry.BootOrder{}, registry.ErrUnavailable
	case machine != "m-1" || key != "K3Y":
		return registry.BootOrder{}, fmt.Errorf("order: %w", registry.ErrNotFound)
	}
	return o.TakeBoot(context.Background(), machine)
}

func (o *orders) FailBoot(_ context.Context, machine, key string) error {
	if o.away {
		return registry.ErrUnavailable
	}
	o.failed = append(o.failed, machine+" "+key)
	return nil
}

const once1 = "/boot/52-54-00-99-99-99/"

// A machine says over HTTP that what it was given did not start.
func TestBootThatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		method, path string
		away         bool
		code         int
		failed       []string
		want         string // in the script
		sights       int
	}{
		"told":              {"GET", once1 + "auto.ipxe?failed=K3Y", false, 200, []string{"m-1 K3Y"}, "installed: boot its own disk", 1},
		"only looked at":    {"HEAD", once1 + "auto.ipxe?failed=K3Y", false, 200, nil, "", 0},
		"nothing failed":    {"GET", once1 + "auto.ipxe", false, 200, nil, "installed: boot its own disk", 1},
		"an unknown card":   {"GET", "/boot/52-54-00-12-34-56/auto.ipxe?failed=K3Y", false, 200, nil, "unknown machine", 1},
		"more than a key":   {"GET", once1 + "auto.ipxe?failed=K3Y%0ashell", false, 400, nil, "", 0},
		"cannot be written": {"GET", once1 + "auto.ipxe?failed=K3Y&arch=bios&try=1", true, 200, nil, "auto.ipxe?arch=bios&try=2&failed=K3Y ", 0},
		"for the last time": {"GET", once1 + "auto.ipxe?failed=K3Y&try=5", true, 200, nil, "this boot failed, booting the disk", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, o := newFixture(t), &orders{away: c.away}
			f.Boots = o
			w := f.ask(c.method, c.path, host)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) || !slices.Equal(o.failed, c.failed) || len(f.sights) != c.sights {
				t.Errorf("%d, told %v, %d sightings:\n%s", w.Code, o.failed, len(f.sights), w.Body)
			}
		})
	}
}

// The operator's own script comes by itself, for the key alone.
func TestOwnScript(t *testing.T) {
	own := registry.BootOrder{Kind: registry.KindScript, Script: "#!ipxe\necho ${net0/mac} && sleep 1"}
	for name, c := range map[string]struct {
		path  string
		order registry.BootOrder
		away  bool
		code  int
	}{
		"by its key":      {once1 + "once.ipxe?key=K3Y", own, false, 200},
		"by another one":  {once1 + "once.ipxe?key=K3Z", own, false, 404},
		"without one":     {once1 + "once.ipxe", own, false, 404},
		"an unknown card": {"/boot/52-54-00-12-34-56/once.ipxe?key=K3Y", own, false, 404},
		"no card":         {"/boot/x/once.ipxe?key=K3Y", own, false, 400},
		"no script":       {once1 + "once.ipxe?key=K3Y", registry.BootOrder{Kind: registry.KindISO, ISO: "http://x/y.iso"}, false, 404},
		"not now":         {once1 + "once.ipxe?key=K3Y", own, true, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.Boots = &orders{BootOrder: c.order, away: c.away}
			w := f.ask("GET", c.path, host)
			if w.Code != c.code || (w.Body.String() == own.Script) != (c.code == 200) || len(f.sights) != 0 {
				t.Errorf("%d, %d sightings: %s", w.Code, len(f.sights), w.Body)
			}
		})
	}
}

// Who only looks is not shown the key; and a machine that asks for the script that has it
// has not come back from that.
func TestKeyIsForTheMachine(t *testing.T) {
	f, o := newFixture(t), &orders{BootOrder: registry.BootOrder{Kind: registry.KindISO, ISO: "http://10.0.0.9/tool.iso"}}
	f.Boots = o
	f.Lookup = func(registry.MAC) (registry.Entry, bool) {
		return registry.Entry{ID: "m-1", Name: "brave-otter", State: registry.Ready, Next: registry.BootOnce}, true
	}
	if got := f.ask("GET", once1+"auto.ipxe?arch=bios", host).Body.String(); !strings.Contains(got, "auto.ipxe?arch=bios&failed=K3Y ||") {
		t.Errorf("taken:\n%s", got)
	}
	if len(f.sights) != 1 || !f.sights[0].At.Before(o.taken) {
		t.Errorf("taken at %v, seen %+v", o.taken, f.sights)
	}
	s := Script{MAC: registry.MAC{0x52, 0x54, 0, 0x99, 0x99, 0x99}, Base: "http://" + host}
	if got, err := f.Complete(t.Context(), s, false).Render(); err != nil || strings.Contains(string(got), "K3Y") {
		t.Errorf("looked at, %v:\n%s", err, got)
	}
}
