package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Arrays of md and volume groups of LVM, made by mdadm and lvm.

// create makes an array. What it is made of was taken away by who asks.
func (r layoutRAID) create(ctx context.Context, env *Env) error {
	nodes, err := env.nodes(ctx, slices.Concat(r.Devices, r.Spare))
	if err != nil {
		return fmt.Errorf("raid %s: %w", r.Name, err)
	}
	env.need("md_mod", "raid"+r.Level)
	if err := os.MkdirAll(env.path(path.Dir(r.device())), 0o755); err != nil {
		return err
	}
	args := []string{
		"--create", r.device(), "--metadata=1.2", "--level=" + r.Level, "--homehost=any",
		"--raid-devices=" + strconv.Itoa(len(r.Devices)), "--run", "--force",
	}
	if len(r.Spare) > 0 {
		args = append(args, "--spare-devices="+strconv.Itoa(len(r.Spare)))
	}
	return env.tool(ctx, "mdadm", append(args, nodes...)...)
}

// nodes are the paths of devices, links followed.
func (e *Env) nodes(ctx context.Context, devices []string) (nodes []string, err error) {
	for _, d := range devices {
		node, err := e.node(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// lvmConfig is for a machine without udev and without a system of its own: nodes are
// made by lvm itself, and nothing is kept but in the volume group.
const lvmConfig = `activation{udev_sync=0 udev_rules=0 verify_udev_operations=1} backup{backup=0 archive=0} ` +
	`devices{use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"} global{event_activation=0}`

// lvm runs lvm on these devices, and no others.
func (e *Env) lvm(ctx context.Context, nodes []string, command string, args ...string) error {
	options := []string{command, "--config", lvmConfig, "--yes"}
	for _, n := range nodes {
		options = append(options, "--devices", n)
	}
	return e.tool(ctx, "lvm", append(options, args...)...)
}

func addTags(tags []string) (args []string) {
	for _, t := range tags {
		args = append(args, "--addtag", t)
	}
	return args
}

// create makes a volume group with its logical volumes.
func (g layoutGroup) create(ctx context.Context, env *Env) error {
	nodes, err := env.nodes(ctx, g.PhysicalVolumes)
	if err != nil {
		return fmt.Errorf("volume group %s: %w", g.Name, err)
	}
	env.need("dm_mod")
	if err := env.lvm(ctx, nodes, "pvcreate", append([]string{"-ff"}, nodes...)...); err != nil {
		return err
	}
	if err := env.lvm(ctx, nodes, "vgcreate", append(addTags(g.Tags), append([]string{g.Name}, nodes...)...)...); err != nil {
		return err
	}
	for _, v := range g.LogicalVolumes {
		size := []string{"--extents", "100%FREE"}
		if v.Size > 0 {
			size = []string{"--size", strconv.FormatInt(v.Size, 10) + "b"}
		}
		args := slices.Concat(addTags(v.Tags), size, []string{"--name", v.Name}, v.Opts, []string{g.Name})
		if err := env.lvm(ctx, nodes, "lvcreate", args...); err != nil {
			return err
		}
	}
	return nil
}

// stop ends what an earlier attempt at this layout has left running on its disks, and
// nothing else.
func (l layout) stop(ctx context.Context, env *Env) error {
	if err := env.release(); err != nil {
		return err
	}
	running := func(name string) bool {
		_, err := os.Stat(env.path(name))
		return err == nil
	}
	asked := func() error { return l.ask(env) }
	for _, g := range l.VolumeGroups {
		if !running("/dev/" + g.Name) {
			continue
		}
		nodes, err := env.nodes(ctx, g.PhysicalVolumes)
		if err := errors.Join(err, asked()); err != nil {
			return err
		}
		if err := env.lvm(ctx, nodes, "vgchange", "--activate", "n", g.Name); err != nil {
			return err
		}
	}
	for _, r := range l.RAID {
		if !running(r.device()) || !running("/sys/block/"+path.Base(r.device())+"/md/level") && !strings.HasPrefix(r.device(), "/dev/md/") {
			continue
		}
		if err := asked(); err != nil {
			return err
		}
		if err := env.tool(ctx, "mdadm", "--stop", r.device()); err != nil {
			return err
		}
	}
	return nil
}
