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
// find its seed: what the operating system gives, what it gives machines with such
// tags, and what was asked for, each beside or before the one before it.
func (a *appliance) seedParameters(ctx context.Context, r registry.SeedRequest) (map[string]string, error) {
	layers := []seed.Layer{{Source: "operating system " + r.OS.ID, Seed: r.OS.Seed}}
	for _, tag := range slices.Sorted(slices.Values(r.Machine.Tags)) {
		if s, ok := r.OS.TagSeeds[tag]; ok {
			layers = append(layers, seed.Layer{Source: "tag " + tag, Seed: s})
		}
	}
	layers = append(layers, seed.Layer{Seed: r.Seed})
	for i, layer := range layers {
		keys, err := a.keys.Expand(ctx, layer.SSHKeys)
		if err != nil {
			return nil, keysBelow("/ssh_keys", err)
		}
		layers[i].SSHKeys = keys
	}
	token := a.tokens.Seed(r.Machine.ID, r.Deployment.ID, time.Now().Add(seedFor))
	documents, err := seed.Render(seed.Request{FirstBoot: r.OS.FirstBoot, User: r.OS.User, InstanceID: r.Deployment.ID,
		URL: metadata.URL(r.Server, token), Layers: layers})
	if err != nil {
		return nil, err
	}
	return documents.Parameters(), nil
}

// checkSeed reports what is wrong with a seed by itself. Addresses of keys are asked
// when something is deployed.
func checkSeed(s registry.Seed) error {
	s.SSHKeys = slices.DeleteFunc(slices.Clone(s.SSHKeys), sshkeys.IsURL)
	return seed.Validate(seed.Layer{Seed: s})
}

// keysBelow is what is wrong with keys, where they stand.
func keysBelow(pointer string, err error) error {
	wrong, ok := errors.AsType[*registry.InvalidError](err)
	if !ok {
		return err
	}
	for i := range wrong.Fields {
		wrong.Fields[i].Pointer = pointer + wrong.Fields[i].Pointer
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
