package main

import (
	"context"
	_ "embed"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// grubTemplate installs what can only start by the GRUB that its action makes.
//
//go:embed grub.yaml
var grubTemplate string

// grub has Debian installed with a boot loader that was made on the machine.
func (s scenario) grub(ctx context.Context, r *rack, m api.Machine) error {
	if _, err := r.offerDebian(ctx); err != nil {
		return err
	}
	guest, err := r.newGuest(ctx, s.Machine)
	if err != nil {
		return err
	}
	guest.system = "lab-grub"
	if err := r.vary(ctx, guest.system, func(o *registry.OS) { o.Template = grubTemplate }); err != nil {
		return err
	}
	order := time.Now()
	in, err := guest.install(ctx, m)
	if err != nil {
		return err
	}
	r.notes = append(r.notes, in.stages(order))
	return s.installed(ctx, r, m, guest)
}
