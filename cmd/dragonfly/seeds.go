package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dragonfly/boot/metadata"
	"dragonfly/boot/seed"
	"dragonfly/boot/sshkeys"
	"dragonfly/images/store"
	"dragonfly/registry"
)

// seedFor bounds how long after it was asked for a deployment can come to its first
// boot. That its seed is read no more once it has ended is asked of the deployment.
const seedFor = 30 * 24 * time.Hour

// seedParameters makes the parameters of a template that have the installed system
// find its seed: what every deployment begins from, what the operating system gives, what
// it gives machines with such tags, and what was asked for, each beside or before the one
// before it.
func (a *appliance) seedParameters(ctx context.Context, r registry.SeedRequest) (made registry.Seeded, err error) {
	layers, left := seedLayers(r)
	if len(left) > 0 && r.Deployment.Kind == registry.KindInstall {
		made.Notes = []string{"of the defaults it is not given what its first boot cannot take: " + strings.Join(left, ", ")}
	}
	for i, layer := range layers {
		keys, err := a.keys.Expand(ctx, layer.SSHKeys)
		if err != nil {
			return made, keysBelow(layer.Source, err)
		}
		layers[i].SSHKeys, layers[i].Network = keys, seed.OnPort(layer.Network, r.Machine.BootMAC())
	}
	token := a.tokens.Seed(r.Machine.ID, r.Deployment.ID, time.Now().Add(seedFor))
	documents, err := seed.Render(seed.Request{FirstBoot: r.OS.FirstBoot, User: r.OS.User, InstanceID: r.Deployment.ID,
		URL: metadata.URL(r.Server, token), Layers: layers})
	if err != nil {
		return made, err
	}
	made.Parameters = documents.Parameters()
	return made, nil
}

// seedLayers are those of a deployment, the most general first, and what was left out of
// the defaults.
func seedLayers(r registry.SeedRequest) (layers []seed.Layer, left []string) {
	defaults, left := seed.Fit(r.Defaults, r.OS.FirstBoot)
	layers = []seed.Layer{{Source: defaultsSource, Seed: defaults}, {Source: "operating system " + r.OS.ID, Seed: r.OS.Seed}}
	for _, tag := range slices.Sorted(slices.Values(r.Machine.Tags)) {
		if s, ok := r.OS.TagSeeds[tag]; ok {
			layers = append(layers, seed.Layer{Source: "tag " + tag, Seed: s})
		}
	}
	return append(layers, seed.Layer{Seed: r.Seed}), left
}

// defaultsSource is what the layer of the defaults is called.
const defaultsSource = "the defaults"

// What stands, where a seed is looked at by itself, for the port a machine boots from,
// and for the keys that an address has.
var somePort = registry.MAC{0x02, 0, 0, 0, 0, 1}

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// checkSeed reports what is wrong with a seed by itself. Addresses of keys are asked
// when something is deployed.
func checkSeed(s registry.Seed) error {
	return together(keysBelow("", sshkeys.Check(s.SSHKeys)), seed.Validate(seed.Layer{Seed: alone(s)}))
}

// checkDefaults reports what is wrong with the defaults, as cloud-init is given them.
func checkDefaults(s registry.Seed) error {
	_, err := seed.Render(seed.Request{FirstBoot: registry.FirstBootCloudInit, InstanceID: "defaults", Layers: []seed.Layer{{Seed: alone(s)}}})
	return together(keysBelow("", sshkeys.Check(s.SSHKeys)), err)
}

// alone is a seed without what is known of it only when something is deployed. Keys
// keep their places, by which what is wrong with one is told.
func alone(s registry.Seed) registry.Seed {
	s.SSHKeys = slices.Clone(s.SSHKeys)
	for i, key := range s.SSHKeys {
		if sshkeys.IsURL(key) {
			s.SSHKeys[i] = someKey
		}
	}
	s.Network = seed.OnPort(s.Network, somePort)
	return s
}

// together is all that is wrong as one error; one that is not of that kind comes first.
func together(errs ...error) error {
	all := &registry.InvalidError{}
	for _, err := range errs {
		wrong, ok := errors.AsType[*registry.InvalidError](err)
		if err != nil && !ok {
			return err
		}
		if ok {
			all.Fields = append(all.Fields, wrong.Fields...)
		}
	}
	if len(all.Fields) == 0 {
		return nil
	}
	return all
}

// keysBelow is what is wrong with the keys of a layer.
func keysBelow(source string, err error) error {
	wrong, ok := errors.AsType[*registry.InvalidError](err)
	if !ok {
		return err
	}
	for i, f := range wrong.Fields {
		if source != "" {
			f.Message = source + ": " + f.Message
		}
		wrong.Fields[i] = registry.FieldError{Pointer: "/ssh_keys" + f.Pointer, Message: f.Message}
	}
	return wrong
}

// storedImage is the path on this server of an image that is in its store.
func (a *appliance) storedImage(source registry.ImageSource) (path string, ok bool) {
	image, ok := a.images.Find(source)
	return store.PathOf(image.Name), ok
}

// seeds are the seeds of the deployments that are under way.
type seeds struct{ *appliance }

// Seed is [metadata.Source.Seed].
func (s seeds) Seed(ctx context.Context, token string) (metadata.Seed, error) {
	d, m, err := s.deploymentOf(ctx, token)
	if err != nil {
		return metadata.Seed{}, err
	}
	if d.State != registry.DeploymentRunning && d.State != registry.DeploymentVerifying {
		return metadata.Seed{}, &metadata.GoneError{Reason: fmt.Sprintf("deployment %s is %s; what it gave is read no more", d.ID, d.State)}
	}
	recipe, err := s.registry.Recipe(ctx, d.ID)
	if err != nil {
		return metadata.Seed{}, err
	}
	return metadata.Seed{Machine: m.Name, MAC: m.BootMAC(), Documents: seed.FromParameters(recipe.Parameters)}, nil
}

// PhoneHome is [metadata.Source.PhoneHome].
func (s seeds) PhoneHome(ctx context.Context, token string, report metadata.Report) error {
	d, _, err := s.deploymentOf(ctx, token)
	if err != nil {
		return err
	}
	switch d.State {
	case registry.DeploymentVerifying:
	case registry.DeploymentSucceeded: // an answer was lost
		return nil
	default:
		return &metadata.GoneError{Reason: fmt.Sprintf("deployment %s is %s, and waits for nobody", d.ID, d.State)}
	}
	detail := "from " + report.Remote.String()
	if report.Hostname != "" {
		detail += " as " + report.Hostname
	}
	if len(report.HostKeys) > 0 {
		detail += "; its host keys: " + strings.Join(report.HostKeys, ", ")
	}
	return s.registry.PhoneHome(ctx, d.ID, detail)
}

// Installer is [metadata.Source.Installer].
func (s seeds) Installer(ctx context.Context, token string, event registry.InstallerEvent, detail string) error {
	d, _, err := s.deploymentOf(ctx, token)
	if err != nil {
		return err
	}
	err = s.registry.TellInstaller(ctx, d.ID, event, detail)
	if refused, is := errors.AsType[*registry.RefusalError](err); is {
		return &metadata.GoneError{Reason: refused.Error()}
	}
	return err
}

// deploymentOf is what a token is good for.
func (s seeds) deploymentOf(ctx context.Context, token string) (registry.Deployment, registry.Machine, error) {
	machine, deployment, err := s.tokens.CheckSeed(token)
	if err != nil {
		return registry.Deployment{}, registry.Machine{}, metadata.ErrUnknown
	}
	d, err := s.registry.Deployment(ctx, deployment)
	if err != nil {
		return d, registry.Machine{}, seedError(err)
	}
	m, err := s.registry.Machine(ctx, machine)
	return d, m, seedError(err)
}

// seedError is err as [metadata.Source] has it.
func seedError(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return &metadata.GoneError{Reason: "the machine, or its deployment, is not known any more"}
	}
	return err
}

// seedMetrics is what the handler of seeds counts.
func seedMetrics(s *metadata.Stats) []prometheus.Collector {
	counter := func(labels prometheus.Labels, count *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_seed_requests_total",
			Help: "Requests of installed systems for their seeds, by what became of them.", ConstLabels: labels}, func() float64 { return float64(count.Load()) })
	}
	var all []prometheus.Collector
	for outcome, count := range map[string]*atomic.Uint64{"served": &s.Served, "phoned_home": &s.PhoneHomes, "installer": &s.Installers, "unknown": &s.Unknown, "gone": &s.Gone,
		"limited": &s.Limited, "refused": &s.Refused, "failed": &s.Failed} {
		all = append(all, counter(prometheus.Labels{"outcome": outcome}, count))
	}
	return all
}
