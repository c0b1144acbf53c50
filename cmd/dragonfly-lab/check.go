package main

import (
	"errors"
	"fmt"
	"slices"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// verify compares what the appliance shows with the machine that was booted,
// and says everything that differs.
func (m vm) verify(got api.Machine) error {
	var errs []error
	differ := func(what string, got, want any) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s is %v, want %v", what, got, want))
		}
	}
	differ("state", got.State, registry.Ready)
	differ("online", got.Online, true)
	if len(got.MACs) == 0 || got.MACs[0] != m.MAC {
		errs = append(errs, fmt.Errorf("hardware addresses are %v, want %v", got.MACs, m.MAC))
	}
	if got.Hardware == nil {
		return errors.Join(append(errs, errors.New("hardware is missing"))...)
	}
	system := got.Hardware.System
	differ("vendor", system.Vendor, m.Vendor)
	differ("product", system.Product, m.Product)
	differ("serial", system.Serial, m.Serial)
	differ("uuid", system.UUID, m.UUID)
	differ("number of disks", len(got.Hardware.Disks), len(m.Disks))
	for _, want := range m.Disks {
		errs = append(errs, want.verify(got.Hardware.Disks))
	}
	return errors.Join(errs...)
}

// verify finds the disk by its serial number.
func (d disk) verify(disks []registry.Disk) error {
	i := slices.IndexFunc(disks, func(have registry.Disk) bool { return have.Serial == d.Serial })
	if i < 0 {
		return fmt.Errorf("no disk has the serial number %s: %+v", d.Serial, disks)
	}
	if disks[i].Bytes != d.Bytes {
		return fmt.Errorf("disk %s has %d bytes, want %d", d.Serial, disks[i].Bytes, d.Bytes)
	}
	return nil
}

// verifyPath checks that the machine came the way the scenario is about: its
// first boot fetched the one boot program that it should have, or none.
func (s scenario) verifyPath(events []api.Event) error {
	var fetched []string
	for _, e := range events {
		if e.Kind == registry.MachineRegistered {
			break
		}
		if what := program(e); what != "" && !slices.Contains(fetched, what) {
			fetched = append(fetched, what)
		}
	}
	var want []string
	if s.Program != "" {
		want = []string{s.Program}
	}
	if !slices.Equal(fetched, want) {
		return fmt.Errorf("the machine fetched the boot programs %q, want %q", fetched, want)
	}
	return nil
}
