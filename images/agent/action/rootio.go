package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"

	"dragonfly/images/agent/partition"
	"dragonfly/images/agent/signature"
)

// rootioCommands are what rootio can do, by the action's command.
var rootioCommands = map[string]func(layout, context.Context, *Env) error{
	"partition": layout.partition,
	"format":    layout.format,
	"mount":     layout.mount,
	"wipe":      layout.wipe,
}

// rootio divides disks, makes file systems and mounts them, as the action's command
// and a layout say: that in STORAGE, which only this agent reads, or that in the
// metadata which the host MIRROR_HOST serves. The whole layout is checked, and every
// device of it asked for, before anything is changed.
func rootio(ctx context.Context, env *Env) error {
	names := slices.Sorted(maps.Keys(rootioCommands))
	if len(env.Command) != 1 || rootioCommands[env.Command[0]] == nil {
		return fmt.Errorf("the action's command is %q; want one of %s", env.Command, strings.Join(names, ", "))
	}
	l, err := env.layout(ctx)
	if err != nil {
		return err
	}
	if err := rootioCommands[env.Command[0]](l, ctx, env); err != nil {
		return fmt.Errorf("%s: %w", env.Command[0], err)
	}
	return nil
}

// maxMetadata bounds what is read of the metadata, in bytes.
const maxMetadata = 1 << 20

// layout reads the layout from where the action's environment says.
func (e *Env) layout(ctx context.Context) (layout, error) {
	if text := e.Vars["STORAGE"]; text != "" {
		return parseStorage([]byte(text))
	}
	host := e.Vars["MIRROR_HOST"]
	if host == "" {
		return layout{}, errors.New("neither STORAGE, the layout, nor MIRROR_HOST, which serves it, is set in the action's environment")
	}
	port, err := e.number("METADATA_SERVICE_PORT", 50061)
	if err != nil {
		return layout{}, err
	}
	source, err := e.newSource("http://" + net.JoinHostPort(host, fmt.Sprint(port)) + "/metadata")
	if err != nil {
		return layout{}, err
	}
	span := source.read(ctx, 0, -1)
	defer span.Close()
	text, err := io.ReadAll(io.LimitReader(span, maxMetadata+1))
	if err != nil {
		return layout{}, err
	}
	if len(text) > maxMetadata {
		return layout{}, fmt.Errorf("the metadata at %s are larger than %s", source, short(maxMetadata))
	}
	return parseMetadata(text)
}

// divided is a disk, and the table that it gets.
type divided struct {
	*eraser
	table partition.Table
	wipe  bool
}

// partition writes the partition tables, and makes arrays and volume groups of what
// they hold.
func (l layout) partition(ctx context.Context, env *Env) error {
	if len(l.Disks)+len(l.RAID)+len(l.VolumeGroups) == 0 {
		return errors.New("the layout has no disks, arrays and volume groups")
	}
	kind := partition.GPT
	if env.Vars["MBR"] != "" {
		kind = partition.DOS
	}
	if len(l.RAID)+len(l.VolumeGroups) > 0 { // while nothing is changed yet
		if _, err := env.toolbox(ctx); err != nil {
			return err
		}
	}
	if err := l.stop(ctx, env); err != nil {
		return err
	}
	if err := l.divide(ctx, env, kind); err != nil {
		return err
	}
	for _, r := range l.RAID {
		if err := r.create(ctx, env); err != nil {
			return err
		}
	}
	for _, g := range l.VolumeGroups {
		if err := g.create(ctx, env); err != nil {
			return err
		}
	}
	return nil
}

// divide writes the tables, once it is known that each of them can be.
func (l layout) divide(ctx context.Context, env *Env, kind partition.Kind) error {
	var disks []divided
	defer func() {
		for _, d := range disks {
			_ = d.Close()
		}
	}()
	for _, d := range l.Disks {
		disk, err := l.open(env, d, kind)
		if err != nil {
			return err
		}
		disks = append(disks, disk)
	}
	if err := l.ask(env); err != nil {
		return err
	}
	for _, d := range disks {
		if err := d.divide(ctx); err != nil {
			return fmt.Errorf("%s: %w", d.device, err)
		}
		env.logf("%s has %d partitions", d.device, len(d.table.Parts))
	}
	return nil
}

// ask asks for every device that is named and there already.
func (l layout) ask(env *Env) error {
	var names []string
	for _, d := range l.Disks {
		names = append(names, d.Device)
	}
	for _, name := range l.members() {
		if _, err := env.find(name); err == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if err := env.writing(name); err != nil {
			return err
		}
	}
	return nil
}

// members are the devices that arrays and volume groups are made of.
func (l layout) members() (names []string) {
	for _, r := range l.RAID {
		names = append(names, slices.Concat(r.Devices, r.Spare)...)
	}
	for _, g := range l.VolumeGroups {
		names = append(names, g.PhysicalVolumes...)
	}
	return names
}

// open opens a disk, and says why it cannot be divided so. It changes nothing.
func (l layout) open(env *Env, d layoutDisk, kind partition.Kind) (divided, error) {
	e, err := openEraser(env, d.Device)
	if err != nil {
		return divided{}, err
	}
	table, err := l.table(d, kind, e.size, e.sector)
	if err == nil && !d.WipeTable {
		err = e.mustBeBlank()
	}
	if err != nil {
		return divided{}, errors.Join(fmt.Errorf("%w; nothing was changed", err), e.Close())
	}
	return divided{e, table, d.WipeTable}, nil
}

// mustBeBlank says what is on a disk that the layout does not allow to wipe.
func (d *eraser) mustBeBlank() error {
	found, err := signature.Examine(d, d.size)
	if err != nil {
		return fmt.Errorf("look at what is on %s: %w", d.device, err)
	}
	var names []string
	for _, s := range found.Whole {
		if s.Kind != signature.Data {
			names = append(names, s.Type)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s (%s) is not blank: it has %s; set wipe_table to true", d.device, d.name, strings.Join(names, ", "))
}

// divide takes away what was there, and writes the table.
func (d divided) divide(ctx context.Context) error {
	if err := d.forget(ctx); err != nil {
		return err
	}
	for _, p := range d.table.Parts { // what was there before must not come back in it
		n := min(headSize, p.Size)
		if err := errors.Join(d.zeroDisk(ctx, p.Start, n), d.zeroDisk(ctx, p.End()-n, n)); err != nil {
			return err
		}
	}
	if len(d.table.Parts) == 0 {
		d.reread()
		return nil
	}
	if err := d.table.Write(d, d.size); err != nil {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	if err := d.target.reread(ctx); err != nil {
		return err
	}
	for _, p := range d.table.Parts {
		if err := awaitSize(partNode(d.node(), fmt.Sprint(p.Number)), p.Size); err != nil {
			return err
		}
	}
	return nil
}

// wipe takes away what makes the disks something.
func (l layout) wipe(ctx context.Context, env *Env) error {
	var devices []string
	for _, d := range l.Disks {
		devices = append(devices, d.Device)
	}
	if len(devices) == 0 {
		return errors.New("the layout has no disks")
	}
	if err := l.stop(ctx, env); err != nil {
		return err
	}
	plain := *env
	plain.Vars = map[string]string{"WIPE_METHOD": wipeSignatures}
	return wipeDisks(ctx, &plain, devices)
}
