package listen

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"dragonfly/images/tink"
	"dragonfly/registry"
)

// guarded is a registry that gives nobody anything, and counts what it is told.
type guarded struct{ sights int }

func (g *guarded) ClaimByWorker(context.Context, registry.Worker) (registry.Deployment, registry.Recipe, error) {
	return registry.Deployment{}, registry.Recipe{}, &registry.StrangerError{Machine: "elk", MAC: registry.MAC{0x52, 0x54, 0, 0xab, 0xcd, 0xef}, Why: "it is another"}
}

func (g *guarded) ReportByWorker(context.Context, registry.Worker, registry.ActionReport) error {
	return registry.ErrNoWork
}

func (g *guarded) Sight(registry.Sighting) { g.sights++ }

// TestAStrangerIsToldOfOnce has one call a machine by every name that it has: that
// neither fills its timeline, nor keeps it from being told of others.
func TestAStrangerIsToldOfOnce(t *testing.T) {
	g := &guarded{}
	s := New(g, slog.New(slog.DiscardHandler))
	ask := func(from, worker string) {
		t.Helper()
		if _, err := s.GetAction(t.Context(), tink.Peer{Addr: netip.MustParseAddr(from)}, worker); err != errNothing {
			t.Errorf("%s as %s: %v", from, worker, err)
		}
	}
	const digits = "abcdef"
	for n := range 1 << len(digits) {
		name := []byte(digits)
		for i := range name {
			if n>>i&1 == 1 {
				name[i] -= 'a' - 'A'
			}
		}
		for _, between := range []string{":", "-", ""} {
			ask("10.0.0.66", strings.Join([]string{"52", "54", "00", string(name[:2]), string(name[2:4]), string(name[4:])}, between))
		}
	}
	ask("10.0.0.66", "m-7f3a9c2e1b4d")
	if g.sights != 1 {
		t.Errorf("one stranger was told of %d times", g.sights)
	}
	ask("10.0.0.67", "52:54:00:ab:cd:ef")
	if g.sights != 2 {
		t.Errorf("two strangers were told of %d times", g.sights)
	}
}
