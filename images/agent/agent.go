package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/registry"
)

// Config is the machine an agent runs on. [Init] returns that of the real one.
type Config struct {
	Boot    Boot
	Console *Console
	Log     *slog.Logger
	HTTP    *http.Client

	Uptime  func() time.Duration // since the kernel started
	Started time.Duration        // the uptime at which /init started

	// Devices loads drivers and returns when the devices have come to rest. What
	// it leaves running is in wg and ends with ctx.
	Devices func(ctx context.Context, wg *sync.WaitGroup)
	// Late tells of a disk or a port that came or went after Devices returned.
	Late <-chan struct{}
	// Network brings up the ports and calls changed with all of them after every
	// change, until ctx ends.
	Network func(ctx context.Context, changed func([]Port)) error
	// Hardware is the inventory.
	Hardware func(ctx context.Context) registry.Hardware
	// BootID is the kernel's name of this boot.
	BootID string
	// Action finds the action that an image's reference names.
	Action func(image string) (action.Action, bool)
	// Need loads kernel modules that no device asks for, by name or alias.
	Need func(modules ...string)
	// Tools are the programs that are fetched for actions; nil: the image has none.
	Tools *action.Toolbox
	// Release unmounts what actions have left mounted for each other.
	Release func() error
	// LinkDisks makes the names of disks and partitions below /dev/disk/by-id.
	LinkDisks func() error
	// Disk returns the kernel's name of the whole disk that a device below /dev is,
	// or is a part of, such as sda.
	Disk func(device string) (string, error)
	// Restart restarts the machine; on a real one it returns only an error.
	Restart func() error
	// Mark leaves Dragonfly's mark on a disk, by the kernel's name of it.
	Mark func(disk, machine, deployment string) error
	// BootEntry gives the firmware, where it keeps such, an entry for what is
	// installed on a disk, by the kernel's name of it.
	BootEntry func(ctx context.Context, disk string, log func(line string)) error
	// BootDisk makes the firmware boot from the disk next, where it can be told.
	BootDisk func() error
}

// agent is one run.
type agent struct {
	Config
	screen  *screen
	machine string        // its ID, once it is registered
	online  chan struct{} // closed with the first address
	once    sync.Once
	acting  sync.Mutex // held while an action of Tinkerbell runs
}

// errRefused says that the server no longer takes our token: only a fresh boot
// script can bring another.
var errRefused = errors.New("the server refuses this boot's token")

// Run registers the machine, waits for instructions and carries them out. It
// returns after the restart that ends it, or when ctx ends.
func Run(ctx context.Context, cfg Config) error {
	a := &agent{Config: cfg, screen: newScreen(cfg.Console), online: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	a.screen.change(func(v *View) {
		v.Server, v.Doing = cmp.Or(cfg.Boot.URL, cfg.Boot.Tink.Authority), "looking for hardware"
	})
	wg.Go(func() { a.screen.run(ctx) })
	wg.Go(func() {
		if err := cfg.Network(ctx, a.portsChanged); err != nil && ctx.Err() == nil {
			a.problem(fmt.Errorf("network: %w", err))
		}
	})
	a.Devices(ctx, &wg)
	a.step("devices are there")
	hardware := a.Hardware(ctx)
	a.step("inventory is read")
	a.showMissing(hardware)

	err := a.work(ctx, hardware)
	if !errors.Is(err, errRefused) {
		return err
	}
	a.problem(fmt.Errorf("%w; restarting for a fresh one", err))
	pause(ctx, readFor)
	return a.restart(ctx)
}

// readFor is how long a last message stays on the screen.
const readFor = 10 * time.Second

// work is the agent's life once the hardware is known.
func (a *agent) work(ctx context.Context, hardware registry.Hardware) error {
	a.screen.doing("waiting for a network address")
	select {
	case <-a.online:
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.Boot.Tink.Authority != "" {
		return a.workForTinkerbell(ctx, hardware)
	}
	return a.workForDragonfly(ctx, hardware)
}

// workForDragonfly registers and follows instructions until one ends this boot.
func (a *agent) workForDragonfly(ctx context.Context, hardware registry.Hardware) error {
	reply, err := a.register(ctx, hardware)
	if err != nil {
		return err
	}
	a.machine = reply.ID
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { a.follow(ctx, hardware) })
	return a.obey(ctx, reply)
}

// portsChanged shows the ports, and lets the registration begin with the first
// address.
func (a *agent) portsChanged(ports []Port) {
	a.screen.change(func(v *View) {
		v.Ports = ports
		v.Missing = slices.DeleteFunc(slices.Clone(v.Missing), func(m string) bool { return m == noLink })
		if len(ports) > 0 && !slices.ContainsFunc(ports, func(p Port) bool { return p.Link }) {
			v.Missing = append(v.Missing, noLink)
		}
	})
	if slices.ContainsFunc(ports, func(p Port) bool { return p.Address.IsValid() }) {
		a.once.Do(func() {
			a.step("network address")
			close(a.online)
		})
	}
}

// What the operator can do something about.
const (
	noLink = "no network port has a link; check the cables and the switch"
	noPort = "no network port has a driver"
)

// showMissing names what the image has no driver for.
func (a *agent) showMissing(hardware registry.Hardware) {
	a.screen.change(func(v *View) {
		v.Missing = slices.DeleteFunc(slices.Clone(v.Missing), func(m string) bool { return m != noLink })
		if !slices.ContainsFunc(hardware.NICs, func(n registry.NIC) bool { return n.Name != "" }) {
			v.Missing = append(v.Missing, noPort)
		}
		for _, n := range hardware.NICs {
			if n.Name == "" {
				v.Missing = append(v.Missing, fmt.Sprintf("a driver for the network device %s at PCI %s", n.PCIID, n.PCI))
			}
		}
	})
}

// step logs how far the agent has come, for the time budget.
func (a *agent) step(what string) {
	a.Log.Info(what, "since_init", seconds(a.Uptime()-a.Started))
}

// problem shows and logs what stands in the way.
func (a *agent) problem(err error) {
	a.Log.Warn("problem", "err", err)
	a.screen.change(func(v *View) { v.Problem = err.Error() })
}

// restart restarts the machine, after the last words are on the screen.
func (a *agent) restart(ctx context.Context) error {
	a.screen.draw()
	if err := a.Restart(); err != nil {
		a.problem(err)
		return err
	}
	return ctx.Err()
}

// restartFromDisk restarts the machine from what is installed on it.
func (a *agent) restartFromDisk(ctx context.Context) error {
	a.screen.doing("restarting from the local disk")
	if err := a.BootDisk(); err != nil {
		a.problem(fmt.Errorf("boot from the disk: %w; where this machine boots is for the server to say", err))
	}
	return a.restart(ctx)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }
