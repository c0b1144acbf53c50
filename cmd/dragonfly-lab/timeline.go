package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// timeline collects the appliance's events. It is safe for concurrent use.
type timeline struct {
	mu     sync.Mutex
	events []api.Event
	more   chan struct{} // closed and replaced with every event
}

func newTimeline() *timeline { return &timeline{more: make(chan struct{})} }

func (t *timeline) add(e api.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
	close(t.more)
	t.more = make(chan struct{})
}

// of is what happened to the machine with mac so far. Steps that do not show an
// address (TFTP) count as its own: only one machine boots at a time.
func (t *timeline) of(mac registry.MAC) ([]api.Event, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := slices.DeleteFunc(slices.Clone(t.events), func(e api.Event) bool {
		return e.MAC != mac && e.MAC != registry.MAC{}
	})
	return own, t.more
}

// all returns the events after the first n, as soon as there are any.
func (t *timeline) all(ctx context.Context, n int) ([]api.Event, error) {
	for {
		t.mu.Lock()
		events, more := slices.Clone(t.events[n:]), t.more
		t.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-more:
		}
	}
}

// await returns the events of mac as soon as enough says that they are enough.
func (t *timeline) await(ctx context.Context, mac registry.MAC, enough func([]api.Event) bool) ([]api.Event, error) {
	for {
		events, more := t.of(mac)
		if enough(events) {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return events, context.Cause(ctx)
		case <-more:
		}
	}
}

// registrations counts how often the agent reported in.
func registrations(events []api.Event) (n int) {
	for _, e := range events {
		if e.Kind == registry.MachineRegistered {
			n++
		}
	}
	return n
}

// stage is the step of a boot that e is, and the empty stage where it is none.
// The message of such an event starts with its stage.
func stage(e api.Event) registry.Stage {
	if e.Kind != registry.MachineBoot {
		return ""
	}
	word, _, _ := strings.Cut(e.Message, " ")
	return registry.Stage(strings.TrimSuffix(word, ":"))
}

// program is the boot program that was fetched in e, such as "snponly.efi by
// TFTP"; empty where none was. The script that iPXE fetches from the same place
// is not one.
func program(e api.Event) string {
	_, what, _ := strings.Cut(e.Message, ": ")
	if stage(e) != registry.StageProgram || strings.HasPrefix(what, "autoexec.ipxe") {
		return ""
	}
	return what
}

// split is where the time from power-on to ready went.
type split struct {
	Firmware time.Duration // to the first DHCP answer
	Network  time.Duration // DHCP and TFTP: until the boot program was fetched
	IPXE     time.Duration // iPXE and HTTP: until the initramfs was asked for
	Kernel   time.Duration // fetching the initramfs and starting Linux: until /init
	Agent    time.Duration // until ready
	Total    time.Duration
}

// splitTimes cuts the time at the steps of the first boot. A machine that was
// handed its kernel has only the last two parts; one whose ROM goes straight to
// the script spends no time on a boot program.
func splitTimes(powerOn time.Time, events []api.Event, agent time.Time) (split, error) {
	marks, registered := bootMarks(events)
	if registered.IsZero() {
		return split{}, fmt.Errorf("no %s event", registry.MachineRegistered)
	}
	if agent.IsZero() {
		return split{}, fmt.Errorf("the agent did not say on the console that it registered")
	}
	s := split{Agent: registered.Sub(agent), Total: registered.Sub(powerOn)}
	if marks[registry.StageDHCP].IsZero() {
		s.Kernel = agent.Sub(powerOn)
		return s, nil
	}
	if marks[registry.StageInitrd].IsZero() {
		return split{}, fmt.Errorf("no event of stage %s", registry.StageInitrd)
	}
	dhcp, fetched := marks[registry.StageDHCP], marks[registry.StageProgram]
	if fetched.IsZero() {
		fetched = dhcp
	}
	s.Firmware, s.Network = dhcp.Sub(powerOn), fetched.Sub(dhcp)
	s.IPXE = marks[registry.StageInitrd].Sub(fetched)
	s.Kernel = agent.Sub(marks[registry.StageInitrd])
	return s, nil
}

// bootMarks is when the first boot came to each stage, and when it ended in a
// registration.
func bootMarks(events []api.Event) (marks map[registry.Stage]time.Time, registered time.Time) {
	marks = map[registry.Stage]time.Time{}
	for _, e := range events {
		if e.Kind == registry.MachineRegistered {
			return marks, e.At
		}
		s := stage(e)
		if s == registry.StageProgram && program(e) == "" {
			continue
		}
		// The firmware's DHCP counts and not iPXE's, but of a chain the last program.
		if _, seen := marks[s]; !seen || s == registry.StageProgram {
			marks[s] = e.At
		}
	}
	return marks, time.Time{}
}
