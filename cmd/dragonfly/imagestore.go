package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"dragonfly/images/store"
	"dragonfly/registry"
)

// needs is what images are needed for.
type needs interface {
	OSes(ctx context.Context) ([]registry.OS, error)
	Deployments(ctx context.Context, q registry.DeploymentQuery) ([]registry.Deployment, error)
}

// openImages opens the image store in the data directory. It leaves as much of the
// disk free as [space] wants, and calls ended when work on an image is over.
func openImages(cfg config, of needs, ended func(), log *slog.Logger) (*store.Store, error) {
	disk, err := spaceOf(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	return store.Open(store.Config{Dir: filepath.Join(cfg.DataDir, "images", "os"), Reserve: int64(disk.floor()), Transport: outward(), Log: log, Ended: ended,
		Users: func(ctx context.Context, image registry.Image) ([]string, error) { return usersOf(ctx, image, of) }})
}

// usersOf are the operating systems that are installed from an image, and the deployments
// whose machines have yet to fetch it, or a part of it.
func usersOf(ctx context.Context, image registry.Image, of needs) (users []string, err error) {
	systems, err := of.OSes(ctx)
	if err != nil {
		return nil, err
	}
	for _, os := range systems {
		for arch, file := range os.Images {
			if _, from := image.OriginOf(registry.ImageSource{URL: file.URL, SHA256: file.SHA256}); from {
				users = append(users, "operating system "+os.ID+" ("+arch+")")
			}
		}
	}
	open, err := of.Deployments(ctx, registry.DeploymentQuery{States: []registry.DeploymentState{
		registry.DeploymentPending, registry.DeploymentWaiting, registry.DeploymentRunning}})
	if err != nil {
		return nil, err
	}
	for _, d := range open {
		if _, awaited := image.OriginOf(d.Image); awaited || strings.Contains(d.Stored, image.Name) {
			users = append(users, "deployment "+d.ID)
		}
	}
	return users, nil
}

// imageMetrics is what the image store counts.
func imageMetrics(s *store.Store) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	all := []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dragonfly_image_bytes_sent_total",
			Help: "Bytes of images that machines fetched."}, func() float64 { bytes, _ := s.Sent(); return float64(bytes) }),
		gauge("dragonfly_image_requests_active", "Requests for images that are being answered now.",
			func() float64 { _, active := s.Sent(); return float64(active) }),
		gauge("dragonfly_images", "Images in the store.", func() float64 { return float64(len(s.List())) }),
		gauge("dragonfly_images_damaged", "Images in the store that are damaged, and not served.", func() float64 {
			n := 0
			for _, image := range s.List() {
				if image.Damage != "" {
					n++
				}
			}
			return float64(n)
		}),
		gauge("dragonfly_images_bytes", "Bytes of the images in the store.", func() float64 {
			bytes := int64(0)
			for _, image := range s.List() {
				bytes += image.Packed
			}
			return float64(bytes)
		}),
	}
	for _, state := range registry.ImageJobStates() {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dragonfly_image_jobs", Help: "Work on images by its state.",
			ConstLabels: prometheus.Labels{"state": string(state)}}, func() float64 {
			n := 0
			for _, job := range s.Jobs() {
				if job.State == state {
					n++
				}
			}
			return float64(n)
		}))
	}
	return all
}
