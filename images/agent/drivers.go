package agent

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// isOverrun reports that the kernel dropped events because we read too slowly.
func isOverrun(err error) bool { return errors.Is(err, unix.ENOBUFS) }

// How long the devices must be quiet before they count as settled, and how long
// a disk controller that shows no disk is waited for.
const (
	quietFor      = 30 * time.Millisecond
	controllerFor = 3 * time.Second
)

// drivers loads the module of every device: of those that are there, and of
// those that come later, such as the disks behind a controller.
type drivers struct {
	root    tree
	load    func(modalias string) ([]string, error) // [Modules.Load]
	events  <-chan uevent
	log     *slog.Logger
	settled chan struct{} // closed when the devices have come to rest
	late    chan struct{} // holds one: a disk or a port came or went after that

	seen   map[string]bool // modaliases that were handled
	loaded chan string     // a modalias whose load has ended
	active int             // loads that have not ended
}

// run works until ctx ends. The events must have been subscribed to before it
// is called, so that no device falls between the scan and the first event.
func (d *drivers) run(ctx context.Context) {
	d.seen, d.loaded = map[string]bool{}, make(chan string)
	started, resting := time.Now(), d.settled
	d.scan()
	quiet := time.NewTimer(quietFor)
	for {
		select {
		case ev := <-d.events:
			d.handle(ev, resting == nil)
			quiet.Reset(quietFor)
		case <-d.loaded:
			d.active--
			quiet.Reset(quietFor)
		case <-quiet.C:
			if resting != nil && d.atRest(time.Since(started)) {
				close(resting)
				resting = nil
			} else if resting != nil {
				quiet.Reset(quietFor)
			}
		case <-ctx.Done():
			for ; d.active > 0; d.active-- {
				<-d.loaded
			}
			return
		}
	}
}

// atRest decides, after a quiet moment, whether more devices are to be expected.
func (d *drivers) atRest(running time.Duration) bool {
	if d.active > 0 {
		return false
	}
	empty := emptyControllers(d.root)
	if len(empty) > 0 && running < controllerFor {
		return false
	}
	d.log.Info("devices settled", "modaliases", len(d.seen), "controllers_without_disk", empty)
	return true
}

func (d *drivers) handle(ev uevent, late bool) {
	if late && ev.hardware() {
		select {
		case d.late <- struct{}{}:
		default:
		}
	}
	switch {
	case ev.Action == "lost":
		d.scan()
	case ev.Action == "add" && ev.Modalias != "":
		d.start(ev.Modalias)
	}
}

// scan starts the load for every device on a bus (coldplug).
func (d *drivers) scan() {
	for _, bus := range d.root.names("sys/bus") {
		dir := path.Join("sys/bus", bus, "devices")
		for _, dev := range d.root.names(dir) {
			if alias := d.root.bytes(dir, dev, "modalias"); len(alias) > 0 {
				d.start(strings.TrimSpace(string(alias)))
			}
		}
	}
}

// start loads the modules for modalias beside everything else, once.
func (d *drivers) start(modalias string) {
	if d.seen[modalias] {
		return
	}
	d.seen[modalias] = true
	d.active++
	go func() {
		names, err := d.load(modalias)
		if err != nil {
			d.log.Warn("load a driver", "modules", names, "err", err)
		}
		d.loaded <- modalias // run takes every one, also when ctx has ended
	}()
}

// emptyControllers names the disk controllers that have a driver and show no
// disk yet: NVMe namespaces and the targets behind a SAS or RAID adapter are
// found by the kernel in the background. SATA is not among them: loading its
// driver waits for the ports, and most have free ones.
func emptyControllers(t tree) []string {
	var empty []string
	for _, c := range t.names("sys/class/nvme") {
		if !hasPrefixed(t.names("sys/class/nvme", c), "nvme") {
			empty = append(empty, c)
		}
	}
	for _, host := range t.names("sys/class/scsi_host") {
		driver := t.text("sys/class/scsi_host", host, "proc_name")
		if driver == "ahci" || strings.HasPrefix(driver, "ata") || strings.HasPrefix(driver, "pata") || driver == "usb-storage" {
			continue
		}
		if !hasPrefixed(t.names("sys/class/scsi_host", host, "device"), "target", "rport", "phy", "port") {
			empty = append(empty, host)
		}
	}
	return empty
}

func hasPrefixed(names []string, prefixes ...string) bool {
	for _, name := range names {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}
