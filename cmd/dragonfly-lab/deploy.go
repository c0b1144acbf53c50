package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/images/store"
	"dragonfly/registry"
	"dragonfly/registry/api"
)

// deployLimit bounds a deployment from the order to the second start from the disk: that
// takes two minutes, and twenty times that on a host that has much else to do.
const deployLimit = 45 * time.Minute

// labOS is the Debian of [debianImage] as the catalogue has it.
const labOS = "lab-debian"

// deploy has Debian installed on the ready machine, signs in to it, waits until the
// appliance calls it installed, and switches the machine off and on again.
func (s scenario) deploy(ctx context.Context, r *rack, machine api.Machine) error {
	image, err := r.offerDebian(ctx)
	if err != nil {
		return err
	}
	guest, err := r.newGuest(ctx, s.Machine)
	if err != nil {
		return err
	}
	order := time.Now()
	in, err := guest.install(ctx, machine)
	if err != nil {
		return err
	}
	r.notes = append(r.notes, in.stages(order))
	if err := s.installed(ctx, r, machine, guest); err != nil {
		return err
	}
	if err := guest.reset(ctx); err != nil {
		return err
	}
	off := time.Now()
	if _, err := guest.login(ctx, in.boot); err != nil {
		return fmt.Errorf("after the machine was switched off and on: %w", err)
	}
	again := time.Since(off)
	if err := s.installed(ctx, r, machine, guest); err != nil {
		return err
	}
	write, err := guest.plainWrite(ctx, image)
	r.notes = append(r.notes, fmt.Sprintf("by hand %s s: curl | zstd -dc | dd %s, power-cycle to login %s; deploying is %.2f times that (promised: %.2f)",
		seconds(write+again), seconds(write), seconds(again), in.login.Sub(order).Seconds()/(write+again).Seconds(), byHandLimit))
	return err
}

// byHandLimit is how much longer than by hand a deployment may take.
const byHandLimit = 1.25

// plainWrite writes the image to the machine's second disk as one does by hand, and
// returns how long that took. The holes of the image are not in the stream: this is
// less work than writing the whole of a plain file.
func (g *guest) plainWrite(ctx context.Context, image registry.Image) (time.Duration, error) {
	begin := time.Now()
	_, err := g.run(ctx, "set -o pipefail; curl -sSf "+g.rack.api.client.Base+store.PathOf(image.Name)+
		" | zstd -dc | sudo dd of=/dev/vdb bs=4M iflag=fullblock oflag=direct conv=fsync status=none")
	return time.Since(begin), err
}

// installation is what came of an order.
type installation struct {
	api.Deployment
	login time.Time // the first
	boot  string    // its ID
}

// install orders the system for a machine and follows that.
func (g *guest) install(ctx context.Context, m api.Machine) (installation, error) {
	id, err := g.order(ctx, m)
	if err != nil {
		return installation{}, err
	}
	return g.follow(ctx, id)
}

// follow signs in to what an order has installed, and waits until the appliance calls it
// installed.
func (g *guest) follow(ctx context.Context, id string) (in installation, err error) {
	if _, err := g.rack.until(ctx, id, registry.DeploymentVerifying); err != nil {
		return in, err
	}
	if in.boot, err = g.login(ctx, ""); err != nil {
		return in, err
	}
	in.login = time.Now()
	in.Deployment, err = g.rack.until(ctx, id, registry.DeploymentSucceeded)
	return in, err
}

// order has the system put on a machine, with the guest's key in it, whatever is on the
// disk.
func (g *guest) order(ctx context.Context, m api.Machine) (id string, err error) {
	reply, err := g.rack.api.client.Deploy(ctx, m.ID, registry.DeployRequest{OS: g.system,
		Seed: registry.Seed{SSHKeys: []string{g.public}}, Confirm: m.Hardware.Disks[0].Serial}, false)
	if err != nil {
		return "", fmt.Errorf("deploy %s to %s: %w", g.system, m.Name, err)
	}
	return reply.Deployment.ID, nil
}

// stages says where the time from the order to the login went.
func (in installation) stages(order time.Time) string {
	text := fmt.Sprintf("login after %s s: taken up %s", seconds(in.login.Sub(order)), seconds(in.StartedAt.Sub(order)))
	var left time.Time
	for _, a := range in.Actions {
		text += fmt.Sprintf(", %s %s", a.Name, seconds(a.EndedAt.Sub(a.StartedAt)))
		left = a.EndedAt
	}
	return text + fmt.Sprintf(", start to login %s; phoned home %s later", seconds(in.login.Sub(left)), seconds(in.EndedAt.Sub(in.login)))
}

// installed checks what the appliance and the installed system say of each other.
func (s scenario) installed(ctx context.Context, r *rack, before api.Machine, g *guest) error {
	m, err := r.api.client.Machine(ctx, before.ID)
	if err != nil {
		return err
	}
	if m.State != registry.Installed {
		return fmt.Errorf("%s is %s (%s), want %s", m.Name, m.State, m.Reason, registry.Installed)
	}
	if name, err := g.run(ctx, "hostname"); err != nil || name != m.Name {
		return fmt.Errorf("the installed system is called %q, want %q: %w", name, m.Name, err)
	}
	events, _ := r.timeline.of(s.Machine.MAC)
	if n := registrations(events); n != 1 {
		return fmt.Errorf("the agent registered %d times; the installed machine should not have started it", n)
	}
	return nil
}

// offerDebian puts the Debian image into the appliance's store and into its catalogue.
func (r *rack) offerDebian(ctx context.Context) (registry.Image, error) {
	disk, err := debianImage(ctx)
	if err != nil {
		return registry.Image{}, err
	}
	image, err := r.keep(ctx, disk)
	if err != nil {
		return registry.Image{}, err
	}
	_, err = r.api.client.PutOS(ctx, registry.OS{ID: labOS, Name: "Debian 12 of the lab", Version: "12",
		Images:   map[string]registry.OSImage{"amd64": {SHA256: image.Origins[0].SHA256, Format: "raw"}},
		Template: "cloud-image", Values: map[string]string{"root_partition": "3", "root_fs": "ext4"},
		User: "debian", FirstBoot: registry.FirstBootCloudInit, MinDisk: image.Size})
	return image, err
}

// keep puts an image into the appliance's store, by its command line.
func (r *rack) keep(ctx context.Context, file string) (registry.Image, error) {
	before, err := r.api.client.Images(ctx)
	if err != nil {
		return registry.Image{}, err
	}
	if err := command(ctx, r.Dragonfly, "image", "import", file, "--data-dir", filepath.Join(r.dir, "data")); err != nil {
		return registry.Image{}, err
	}
	after, err := r.api.client.Images(ctx)
	added := slices.DeleteFunc(after.Images, func(i registry.Image) bool {
		return slices.ContainsFunc(before.Images, func(b registry.Image) bool { return b.Name == i.Name })
	})
	if err != nil || len(added) != 1 {
		return registry.Image{}, fmt.Errorf("one image was imported and the appliance lists %d new ones: %w", len(added), err)
	}
	return added[0], nil
}

// until waits for a state of a deployment; one that ended otherwise is an error.
func (r *rack) until(ctx context.Context, id string, state registry.DeploymentState) (d api.Deployment, err error) {
	errPoll := pollEvery(ctx, time.Second/4, func() bool {
		d, err = r.api.client.Deployment(ctx, id)
		return err != nil || d.State == state || d.State.Ended()
	})
	switch {
	case err != nil || errPoll != nil:
		return d, fmt.Errorf("wait until deployment %s is %s: it is %s: %w", id, state, d.State, errors.Join(err, errPoll))
	case d.State != state && d.State != registry.DeploymentSucceeded:
		return d, fmt.Errorf("deployment %s is %s, want %s: %s", id, d.State, state, d.Reason)
	}
	return d, nil
}

// guest is the system on a machine, reached by SSH from the site's own host.
type guest struct {
	rack   *rack
	vm     vm
	system string // of the catalogue, that is put on the machine
	user   string // signs in
	key    string // file
	public string
}

// newGuest makes a key for the system that is to be installed on m.
func (r *rack) newGuest(ctx context.Context, m vm) (*guest, error) {
	g := &guest{rack: r, vm: m, system: labOS, user: "debian", key: filepath.Join(r.dir, m.Name+".key")}
	if err := command(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", g.key); err != nil {
		return nil, err
	}
	public, err := os.ReadFile(g.key + ".pub")
	g.public = strings.TrimSpace(string(public))
	return g, err
}

// run runs a command in the system and returns what it printed.
func (g *guest) run(ctx context.Context, line string) (string, error) {
	address, err := g.address()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	argv := inside(g.rack.net.site, "ssh", "-F", "none", "-i", g.key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", g.user+"@"+address, line)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("ssh %s@%s %q: %w: %s", g.user, address, line, err, oneLine(complaint.Bytes()))
	}
	return strings.TrimSpace(string(out)), err
}

// loginTimeout is how long one try to sign in may take. One that a machine was restarted
// under hears nothing any more.
const loginTimeout = 15 * time.Second

// login signs in as soon as that is possible, and returns the ID of the boot; one with
// the ID last does not count.
func (g *guest) login(ctx context.Context, last string) (id string, err error) {
	errPoll := pollEvery(ctx, time.Second/2, func() bool {
		try, cancel := context.WithTimeout(ctx, loginTimeout)
		defer cancel()
		id, err = g.run(try, "cat /proc/sys/kernel/random/boot_id")
		return err == nil && id != last
	})
	if errPoll != nil {
		return "", errors.Join(errPoll, err)
	}
	return id, nil
}

// reset has the machine start again as a power failure does.
func (g *guest) reset(ctx context.Context) error {
	if _, err := g.run(ctx, "sync"); err != nil {
		return err
	}
	_, err := g.run(ctx, "sudo sh -c 'echo s >/proc/sysrq-trigger; (sleep 1; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &'")
	return err
}

// address is the latest that the site's DHCP server gave to the machine.
func (g *guest) address() (string, error) {
	leases, err := os.ReadFile(filepath.Join(g.rack.dir, "leases"))
	if err != nil {
		return "", err
	}
	address := leased(string(leases), g.vm.MAC)
	if address == "" {
		return "", fmt.Errorf("%s has no address", g.vm.Name)
	}
	return address, nil
}

// leased is the address in dnsmasq's file of leases that mac has longest; empty where
// it has none. A line has when it ends, hardware address, address, name and client ID.
func leased(leases string, mac registry.MAC) (address string) {
	latest := 0
	for line := range strings.Lines(leases) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[1] != mac.String() {
			continue
		}
		if ends, err := strconv.Atoi(fields[0]); err == nil && ends >= latest {
			address, latest = fields[2], ends
		}
	}
	return address
}
