package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// DeployPlan is what a deployment will do, or would.
type DeployPlan struct {
	Deployment Deployment
	Machine    Machine
	Recipe     Recipe
	Passed     []PassedDisk // the disks that were not chosen
	Hold       string       // why the disk's loss has to be confirmed; empty where it need not be, or was
	Notes      []string     // worth knowing
	Problems   []error      // what keeps it from being carried out

	last Deployment // of the machine; zero: none is known
}

// refusal is why the plan is not carried out; nil where it is. What is wrong with the
// request is told at once.
func (p DeployPlan) refusal() error {
	invalid := &InvalidError{}
	for _, problem := range p.Problems {
		wrong, ok := errors.AsType[*InvalidError](problem)
		if !ok {
			return problem
		}
		invalid.Fields = append(invalid.Fields, wrong.Fields...)
	}
	if len(invalid.Fields) == 0 {
		return nil
	}
	return invalid
}

func (p *DeployPlan) problem(pointer, format string, args ...any) {
	p.Problems = append(p.Problems, &InvalidError{Fields: []FieldError{{pointer, fmt.Sprintf(format, args...)}}})
}

// Validate reports everything that is wrong with req by itself.
func (req DeployRequest) Validate() error {
	v := validator{}
	if kinds := []DeploymentKind{"", KindInstall, KindWipe}; !slices.Contains(kinds, req.Kind) && !req.Kind.OneShot() {
		v.add("/kind", "want install, wipe, rescue, memtest, iso or script")
	}
	req.validateOneShot(&v)
	if req.Engine != "" && !slices.Contains(Engines(), req.Engine) {
		v.add("/engine", "want builtin or tinkerbell")
	}
	if req.Kind == KindWipe && req.OS != "" {
		v.add("/os", "a wipe leaves no operating system")
	}
	if _, err := ParseDiskRule(req.Disk); err != nil {
		v.add("/disk", err.Error())
	}
	if req.Kind.OneShot() && req.Engine == EngineTinkerbell {
		v.add("/engine", "a boot that is for once is carried out by Dragonfly itself")
	}
	v.values("/parameters", req.Parameters)
	return v.err()
}

// plan is what req comes to on m. Its error is a fault; what keeps the plan from being
// carried out is among its problems.
func (r *Registry) plan(ctx context.Context, m Machine, req DeployRequest) (p DeployPlan, err error) {
	if req.OS == "" && cmp.Or(req.Kind, KindInstall) == KindInstall {
		req.OS = m.OS
	}
	return r.planOf(ctx, r.newDeployment(ctx, m, req), m, req)
}

// planOf is plan, for a deployment that there is.
func (r *Registry) planOf(ctx context.Context, d Deployment, m Machine, req DeployRequest) (p DeployPlan, err error) {
	p = DeployPlan{Machine: m, Deployment: d, Recipe: Recipe{Request: req}}
	if err := req.Validate(); err != nil {
		p.Problems = append(p.Problems, err)
		return p, nil
	}
	if err := r.mayDeploy(ctx, &p); err != nil {
		return p, err
	}
	if req.Kind.OneShot() {
		r.planBoot(ctx, &p)
		return p, nil
	}
	o, err := r.chosenOS(ctx, &p)
	if err != nil || o.Template == "" {
		return p, err
	}
	p.Deployment.FirstBoot = o.FirstBoot
	r.engine(&p, o)
	if p.chooseDisk(o); p.Deployment.Disk != (DeploymentDisk{}) {
		r.render(ctx, &p, o)
	}
	return p, nil
}

// mayDeploy notes what the machine is kept from by its state.
func (r *Registry) mayDeploy(ctx context.Context, p *DeployPlan) error {
	m := p.Machine
	if err := m.unlocked(); err != nil {
		p.Problems = append(p.Problems, err)
	}
	if m.Deployment != "" {
		d, err := r.Deployment(ctx, m.Deployment)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		p.last = d
		if err == nil && !d.State.Ended() && !d.HandedOut() {
			p.Problems = append(p.Problems, &RefusalError{fmt.Sprintf("the %s, %s, is %s on it; cancel that first", d.name(), d.ID, d.State)})
			return nil
		}
	}
	if err := m.mayTake(p.Deployment.Kind); err != nil {
		p.Problems = append(p.Problems, err)
	}
	return nil
}

// mayTake is why the machine's state forbids such a deployment; nil where it does not.
func (m Machine) mayTake(k DeploymentKind) error {
	if k.OneShot() {
		return m.mayBoot()
	}
	_, err := m.State.Step(CauseDeploy)
	return err
}

// wipeTemplate is the name of the shipped template that empties a disk.
const wipeTemplate = "wipe"

// chosenOS is the operating system that is deployed. One without a template cannot be,
// which is noted.
func (r *Registry) chosenOS(ctx context.Context, p *DeployPlan) (OS, error) {
	if p.Deployment.Kind == KindWipe {
		return OS{Template: wipeTemplate}, nil
	}
	if p.Deployment.OS == "" {
		p.problem("/os", "it is missing, and none is assigned to the machine; `dragonfly os list` has what there is")
		return OS{}, nil
	}
	o, err := r.OS(ctx, p.Deployment.OS)
	switch {
	case errors.Is(err, ErrNotFound):
		p.problem("/os", "%v", err)
		return OS{}, nil
	case err != nil:
		return OS{}, err
	}
	p.Recipe.Request.OS = o.ID
	if o.Disabled {
		p.problem("/os", "%s is disabled in the catalogue", o.ID)
	}
	p.fits(o)
	return o, nil
}

// fits notes what the machine lacks for an operating system.
func (p *DeployPlan) fits(o OS) {
	hardware := p.Machine.Hardware
	if !o.Fits(hardware.CPU.Arch) {
		p.problem("/os", "%s is for %s, and the machine is %s", o.ID, strings.Join(slices.Sorted(maps.Keys(o.Images)), " and "), cmp.Or(hardware.CPU.Arch, "of an architecture that nobody knows"))
	}
	if have := hardware.Memory.Installed(); have < o.MinMemory {
		p.problem("/os", "%s needs %d MiB of memory, and the machine has %d", o.ID, o.MinMemory>>20, have>>20)
	}
}

// Template is the text of a template that is named, or that is one. It errs with
// [*InvalidError] where none is called so, and with [*RefusalError] where it is one of a
// cluster of Tinkerbell and there is none.
func (r *Registry) Template(nameOrText string) (string, error) { return r.tools.template(nameOrText) }

// Preview is what a deployment of an operating system would come to on a machine. The
// one that is given need not be in the catalogue, and nothing is kept of it. Whether the
// machine may be deployed to now is not looked at.
func (r *Registry) Preview(ctx context.Context, id string, o OS) (DeployPlan, error) {
	m, err := r.Machine(ctx, id)
	if err != nil {
		return DeployPlan{}, err
	}
	req := DeployRequest{OS: o.ID}
	p := DeployPlan{Machine: m, Deployment: r.newDeployment(ctx, m, req), Recipe: Recipe{Request: req}}
	p.Deployment.FirstBoot = o.FirstBoot
	r.engine(&p, o)
	p.fits(o)
	if p.chooseDisk(o); p.Deployment.Disk != (DeploymentDisk{}) {
		r.render(ctx, &p, o)
	}
	return p, nil
}

// chooseDisk chooses the disk, and says what has to be confirmed.
func (p *DeployPlan) chooseDisk(o OS) {
	req, hardware := p.Recipe.Request, p.Machine.Hardware
	if p.Deployment.Kind == KindWipe && req.Disk == "" && len(hardware.Disks) > 1 {
		p.problem("/disk", "the machine has %d disks; say which one is to be wiped, such as serial:S4EVNX0R", len(hardware.Disks))
		return
	}
	rule, err := ParseDiskRule(req.Disk)
	if err != nil {
		p.problem("/disk", "%v", err)
		return
	}
	choice, err := rule.Choose(hardware.Disks, o.MinDisk)
	if err != nil {
		p.problem("/disk", "%v", err)
		return
	}
	d := choice.Disk
	p.Passed = choice.Passed
	p.Deployment.Disk = DeploymentDisk{ByID: d.ByID, Name: d.Name, Model: d.Model, Serial: d.Serial, WWN: d.WWN, Bytes: d.Bytes,
		Found: d.Describe(hardware.OSFound), Why: choice.Why}
	p.Deployment.Disk.Left = p.last.left(d)
	switch { // what the agent looked at may have been before
	case p.Deployment.Disk.Left != "":
		p.Deployment.Disk.Found = "written in part by deployment " + p.Deployment.Disk.Left
	case p.last.installedOn(d) && !p.Machine.RegisteredAt.After(p.last.WroteAt):
		p.Deployment.Disk.Found = "written by deployment " + p.last.ID
	}
	if req.Confirm != "" && !d.called(req.Confirm) {
		p.problem("/confirm", "it names another disk than the one that was chosen, %s", d)
		return
	}
	if req.Blank && p.Deployment.Disk.Found != string(Blank) {
		p.problem("/disk", "%s is not blank (%s), and only a blank one may be written", d, p.Deployment.Disk.Found)
		return
	}
	p.Hold = d.Hold(p.Machine.ID)
	p.Recipe.Request.Erase = slices.DeleteFunc(slices.Clone(req.Erase), func(name string) bool { return !d.called(name) }) // those of other machines
	if req.Confirm != "" || len(p.Recipe.Request.Erase) > 0 {
		p.Hold = ""
	}
	if p.Hold != "" {
		p.problem("/confirm", "%s (%s) would be overwritten, and %s; to go on, name the disk here by its serial number or by-id path", d, p.Deployment.Disk.Found, p.Hold)
	}
}

// left is the deployment that has written a disk in part, as far as d, the last one
// of its machine, knows; empty: none has.
func (d Deployment) left(disk Disk) string {
	switch {
	case !d.isFor(disk), d.whole():
		return ""
	case !d.Wrote:
		return d.Disk.Left
	}
	return d.ID
}

// installedOn reports whether d has written a disk to the end, and not to empty it.
func (d Deployment) installedOn(disk Disk) bool {
	return d.isFor(disk) && d.whole() && d.Kind != KindWipe
}

func (d Deployment) isFor(disk Disk) bool {
	return d.Disk != (DeploymentDisk{}) && d.Disk.Serial == disk.Serial && d.Disk.WWN == disk.WWN && d.Disk.ByID == disk.ByID
}

// whole reports whether what d has written is whole.
func (d Deployment) whole() bool { return d.Wrote && d.Action == len(d.Actions) }

// called reports whether a text names the disk: its serial number, WWN, or by-id path.
func (d Disk) called(text string) bool {
	for _, name := range []string{d.Serial, d.WWN, d.ByID, path.Base(d.ByID)} {
		if name != "" && name != "." && strings.EqualFold(name, strings.TrimSpace(text)) {
			return true
		}
	}
	return false
}

// path is how a template names the disk.
func (c DeploymentDisk) path() string {
	if c.ByID == "" && c.Name != "" {
		return "/dev/" + c.Name
	}
	return c.ByID
}

// render makes the recipe.
func (r *Registry) render(ctx context.Context, p *DeployPlan, o OS) {
	text, err := r.tools.template(o.Template)
	if err != nil {
		p.Problems = append(p.Problems, below("/os", err))
		return
	}
	params, err := r.parameters(ctx, p, o)
	if err != nil {
		p.Problems = append(p.Problems, err)
		return
	}
	rendered, err := r.tools.Render(text, p.Machine, params)
	if err == nil && r.tools.CheckActions != nil {
		err = r.tools.CheckActions(p.Deployment, rendered.Actions)
	}
	if err != nil {
		p.Problems = append(p.Problems, err)
	}
	p.Recipe.Text, p.Recipe.Actions, p.Recipe.Parameters = rendered.Text, rendered.Actions, params
	p.Notes = append(p.Notes, rendered.Notes...)
	if p.Deployment.Actions = pendingActions(rendered.Actions); p.Deployment.Image != (ImageSource{}) {
		p.Recipe.Template = text
	}
	if len(rendered.Actions) == 0 && err == nil {
		p.problem("/os", "its template has no actions")
	}
	if slices.ContainsFunc(p.Deployment.Actions, ActionRun.installs) {
		p.mayInstall()
	}
	p.Deployment.Limits.Run = runLimit(p.Deployment.Actions, rendered.Timeout)
}

// parameters are what the template is rendered with, beside what is known of the
// machine. What was asked for by name wins.
func (r *Registry) parameters(ctx context.Context, p *DeployPlan, o OS) (map[string]string, error) {
	server, err := r.tools.Server(p.Machine)
	if err != nil {
		return nil, err
	}
	req := p.Recipe.Request
	p.Deployment.Hostname = cmp.Or(req.Seed.Hostname, p.Machine.Name)
	params := map[string]string{}
	for _, name := range optional {
		params[name] = ""
	}
	maps.Copy(params, map[string]string{"deployment_id": p.Deployment.ID, "server": server, "disk": p.Deployment.Disk.path(), "hostname": p.Deployment.Hostname,
		"os_id": o.ID, "os_name": o.Name, "os_version": o.Version, "user": o.User})
	maps.Copy(params, o.Values)
	maps.Copy(params, r.imageParameters(p, o, server))
	if r.tools.Seed != nil && (p.Deployment.Kind == KindInstall || p.Deployment.Kind == KindRescue) {
		seed := req.Seed
		seed.Hostname = p.Deployment.Hostname
		defaults, err := r.openDefaults(ctx)
		if err != nil {
			return nil, err
		}
		made, err := r.tools.Seed(ctx, SeedRequest{Defaults: defaults.Seed, Deployment: p.Deployment, Machine: p.Machine, OS: o, Seed: seed, Server: server})
		if err != nil {
			return nil, below("/seed", err)
		}
		maps.Copy(params, made.Parameters)
		p.Notes = append(p.Notes, made.Notes...)
	}
	maps.Copy(params, req.Parameters)
	return params, nil
}

// optional are what a template may ask for whether it is there or not: it is empty
// then.
var optional = []string{"user_data", "meta_data", "network_config", "cloud_cfg", "ssh_keys", "netplan", "interfaces", "keyfiles", "networkd", "links",
	"phone_home_url", "metadata_url", "root_partition", "root_fs",
	"image_url", "image_format", "image_compressed", "image_sha256", "installer_url", "kernel_url", "kernel_sha256", "initrd_url", "initrd_sha256", "kernel_command_line", "preseed"}

// below is err with its pointers below another.
func below(pointer string, err error) error {
	wrong, ok := errors.AsType[*InvalidError](err)
	if !ok {
		return err
	}
	out := &InvalidError{}
	for _, f := range wrong.Fields {
		out.Fields = append(out.Fields, FieldError{pointer + f.Pointer, f.Message})
	}
	return out
}

// imageParameters say where the image is: in the store of this server, where it is
// fetched to first when it is missing.
func (r *Registry) imageParameters(p *DeployPlan, o OS, server string) map[string]string {
	arch := p.Machine.Hardware.CPU.Arch
	i := o.Images[arch]
	if i == (OSImage{}) { // a wipe has none, and what has none for the machine is refused
		return nil
	}
	if i.Kernel != "" {
		return map[string]string{"kernel_url": i.Kernel, "kernel_sha256": i.KernelSHA256, "initrd_url": i.Initrd, "initrd_sha256": i.InitrdSHA256,
			"kernel_command_line": i.CommandLine}
	}
	if r.tools.Image == nil {
		format, packing, _ := strings.Cut(cmp.Or(i.Format, "raw"), ".")
		return map[string]string{"image_url": i.URL, "image_format": format, "image_compressed": fmt.Sprint(packing != ""), "image_sha256": i.SHA256}
	}
	path, there := r.tools.Image(i.Source(o.Name))
	switch _, given := p.Recipe.Request.Parameters["image_url"]; {
	case given:
	case there:
		p.Deployment.Stored = path
	case i.URL == "":
		p.problem("/os", "the image of %s for %s is not in the image store; `dragonfly image import FILE` puts the file with that checksum there", o.ID, arch)
	default:
		path, p.Deployment.Image = noImageYet, i.Source(o.Name)
		p.Notes = append(p.Notes, "the image is not in the image store: this server fetches it first, from "+i.URL)
	}
	return map[string]string{"image_url": server + path, "image_format": "raw", "image_compressed": "true", "image_sha256": ""}
}
