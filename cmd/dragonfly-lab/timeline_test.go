package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

var powerOn = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// at is a step of a boot, so many seconds after power-on.
func at(seconds float64, message string) api.Event {
	return api.Event{At: powerOn.Add(time.Duration(seconds * float64(time.Second))), Kind: registry.MachineBoot, Message: message}
}

func registeredAt(seconds float64) api.Event {
	e := at(seconds, "registered for the first time: Acme Lab Server, 1 disk")
	e.Kind = registry.MachineRegistered
	return e
}

func TestSplitTimes(t *testing.T) {
	second := time.Second
	chain := []api.Event{at(3, "dhcp: firmware"), at(5, "program: undionly.kpxe by TFTP"), at(7, "dhcp: iPXE"),
		at(11, "script: not registered yet"), at(11.5, "kernel: amd64/vmlinuz by HTTP"),
		at(12, "initrd: amd64/initramfs.zst by HTTP"), registeredAt(16)}
	for _, c := range []struct {
		name   string
		events []api.Event
		agent  float64 // seconds after power-on; 0 for never
		want   split
		err    string
	}{
		{name: "a chain", events: chain, agent: 15,
			want: split{Firmware: 3 * second, Network: 2 * second, IPXE: 7 * second, Kernel: 3 * second, Agent: second, Total: 16 * second}},
		{name: "iPXE's own script is no boot program", agent: 15,
			events: slices.Insert(slices.Clone(chain), 2, at(6, "program: autoexec.ipxe by TFTP")),
			want:   split{Firmware: 3 * second, Network: 2 * second, IPXE: 7 * second, Kernel: 3 * second, Agent: second, Total: 16 * second}},
		{name: "the program asked for twice", agent: 15,
			events: slices.Insert(slices.Clone(chain), 2, at(6, "program: undionly.kpxe by TFTP")),
			want:   split{Firmware: 3 * second, Network: 3 * second, IPXE: 6 * second, Kernel: 3 * second, Agent: second, Total: 16 * second}},
		{name: "straight to the script", events: append([]api.Event{chain[0]}, chain[3:]...), agent: 15,
			want: split{Firmware: 3 * second, IPXE: 9 * second, Kernel: 3 * second, Agent: second, Total: 16 * second}},
		{name: "a second boot does not count", events: append(slices.Clone(chain), at(30, "initrd: again"), registeredAt(40)), agent: 15,
			want: split{Firmware: 3 * second, Network: 2 * second, IPXE: 7 * second, Kernel: 3 * second, Agent: second, Total: 16 * second}},
		{name: "the kernel handed over", events: []api.Event{at(0.1, "script: asked by the lab"), registeredAt(3)}, agent: 2,
			want: split{Kernel: 2 * second, Agent: second, Total: 3 * second}},
		{name: "never registered", events: chain[:6], agent: 15, err: "no machine.registered event"},
		{name: "a silent agent", events: chain, err: "the agent did not say on the console that it registered"},
		{name: "the initramfs not filed yet", events: slices.Delete(slices.Clone(chain), 5, 6), agent: 15, err: "no event of stage initrd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var agent time.Time
			if c.agent > 0 {
				agent = powerOn.Add(time.Duration(c.agent * float64(second)))
			}
			got, err := splitTimes(powerOn, c.events, agent)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestAwaitSeesOnlyItsOwnMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, ours, other := newTimeline(), newVM(1, ovmf).MAC, newVM(2, ovmf).MAC
		got := make(chan []api.Event)
		go func() {
			events, err := line.await(t.Context(), ours, func(e []api.Event) bool { return registrations(e) > 0 })
			if err != nil {
				t.Error(err)
			}
			got <- events
		}()
		add := func(mac registry.MAC, e api.Event) {
			e.MAC = mac
			line.add(e)
			synctest.Wait()
		}
		add(other, registeredAt(1))
		add(registry.MAC{}, at(2, "program: undionly.kpxe by TFTP")) // TFTP shows no address
		select {
		case <-got:
			t.Fatal("another machine's registration was taken for ours")
		default:
		}
		add(ours, registeredAt(3))
		if events := <-got; len(events) != 2 {
			t.Errorf("got %d events, want the program and the registration: %+v", len(events), events)
		}
	})
}

func TestAwaitEndsWithItsCause(t *testing.T) {
	cause := errors.New("qemu ended")
	ctx, fail := context.WithCancelCause(t.Context())
	fail(cause)
	_, err := newTimeline().await(ctx, registry.MAC{}, func([]api.Event) bool { return false })
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
	if _, err = newTimeline().all(ctx, 0); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}

func TestVerifyPath(t *testing.T) {
	chain := []api.Event{at(1, "dhcp: x"), at(2, "program: snponly.efi by TFTP"), at(2, "program: snponly.efi by TFTP"),
		at(3, "program: autoexec.ipxe by TFTP"), registeredAt(9), at(12, "program: ipxe.efi by TFTP")}
	for _, c := range []struct {
		program string
		events  []api.Event
		err     string
	}{
		{"snponly.efi by TFTP", chain, ""},
		{"", chain[:1], ""},
		{"undionly.kpxe by TFTP", chain, `the machine fetched the boot programs ["snponly.efi by TFTP"], want ["undionly.kpxe by TFTP"]`},
		{"", chain, `the machine fetched the boot programs ["snponly.efi by TFTP"], want []`},
	} {
		err := scenario{Program: c.program}.verifyPath(c.events)
		if got := errorText(err); got != c.err {
			t.Errorf("program %q: error %q, want %q", c.program, got, c.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
