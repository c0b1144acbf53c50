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
