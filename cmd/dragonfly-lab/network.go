package main

import (
	"context"
	"errors"
	"fmt"
)

// The addresses of the lab. The bridge has none: it is only the wire.
const (
	siteAddress      = "10.77.0.1"
	applianceAddress = "10.77.0.2"
)

// network is the virtual wire: a bridge in one namespace, with the site's DHCP
// server and the appliance each in a namespace of its own. Three namespaces
// because both own UDP port 67. Nothing of it is in the machine's own network.
type network struct {
	lab, site, appliance string // names of the namespaces
}

// newNetwork names a network that no other run uses.
func newNetwork(prefix string) network {
	return network{lab: prefix + "-lab", site: prefix + "-site", appliance: prefix + "-appliance"}
}

// build makes the network. What a failed build leaves behind, remove takes away.
func (n network) build(ctx context.Context) error {
	steps := [][]string{
		{"netns", "add", n.lab},
		{"netns", "add", n.site},
		{"netns", "add", n.appliance},
		// Without a forward delay no port waits before it passes its first DISCOVER.
		{"-n", n.lab, "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0"},
		{"-n", n.lab, "link", "set", "br0", "up"},
	}
	steps = append(steps, n.attach("site", n.site, siteAddress)...)
	steps = append(steps, n.attach("appliance", n.appliance, applianceAddress)...)
	for _, step := range steps {
		if err := command(ctx, append([]string{"ip"}, step...)...); err != nil {
			return fmt.Errorf("build the lab network: %w", err)
		}
	}
	return nil
}

// attach is what connects a namespace to the bridge: its end is always eth0.
func (n network) attach(port, namespace, address string) [][]string {
	return [][]string{
		{"-n", n.lab, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace},
		{"-n", n.lab, "link", "set", port, "master", "br0", "up"},
		{"-n", namespace, "link", "set", "lo", "up"},
		{"-n", namespace, "addr", "add", address + "/24", "dev", "eth0"},
		{"-n", namespace, "link", "set", "eth0", "up"},
	}
}

// plug adds a port for one virtual machine.
func (n network) plug(ctx context.Context, tap string) error {
	for _, step := range [][]string{
		{"ip", "-n", n.lab, "tuntap", "add", "dev", tap, "mode", "tap"},
		{"ip", "-n", n.lab, "link", "set", tap, "master", "br0", "up"},
	} {
		if err := command(ctx, step...); err != nil {
			return fmt.Errorf("plug in %s: %w", tap, err)
		}
	}
	return nil
}

// remove deletes the namespaces and with them every device inside.
func (n network) remove() error {
	existing, err := namespaces()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{n.lab, n.site, n.appliance} {
		if existing[name] {
			errs = append(errs, command(context.Background(), "ip", "netns", "delete", name))
		}
	}
	return errors.Join(errs...)
}

// inside is the command line that runs argv in a namespace. "ip netns exec"
// replaces itself, so the process is argv's own.
func inside(namespace string, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", namespace}, argv...)
}
