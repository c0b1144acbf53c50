package images

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// The flavours of an agent image.
const (
	Full  = "full"  // for servers: Debian's linux-image-ARCH and all drivers wanted
	Cloud = "cloud" // for tests in virtual machines: linux-image-cloud-ARCH, small
)

// Options say what to build and where.
type Options struct {
	Arch    string // Debian's name of the architecture: "amd64" (the default) or "arm64"
	Flavour string // [Full] (the default) or [Cloud]
	Agent   string // the static agent binary that becomes /init
	Out     string // written: Out/ARCH/{vmlinuz,initramfs.zst,tools-SHA256.tar.zst,manifest.json} and Out/nbp/
	Cache   string // package lists and packages, kept between builds
	Mirror  string // Debian's archive; "" for the one in the host's own package sources
	Log     *slog.Logger
}

// Build builds the agent image and fetches the network boot programs. The
// report is complete also where it is over budget; the caller decides.
func Build(ctx context.Context, o Options) (Report, error) {
	o, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	agent, err := readAgent(o.Agent, o.Arch)
	if err != nil {
		return Report{}, err
	}
	a, err := openAPT(o)
	if err != nil {
		return Report{}, err
	}
	p, debs, err := gather(ctx, a, o.Flavour)
	if err != nil {
		return Report{}, err
	}
	p.Agent = agent
	img, err := assemble(p)
	if err != nil {
		return Report{}, fmt.Errorf("build the agent image for %s: %w", o.Arch, err)
	}
	files, err := img.files(o, debs)
	if err != nil {
		return Report{}, err
	}
	if err := publish(filepath.Join(o.Out, o.Arch), files); err != nil {
		return Report{}, err
	}
	report := img.report()
	o.Log.Info("built the agent image", "arch", o.Arch, "flavour", o.Flavour, "kernel", img.Release, "bytes", report.Total)
	if report.OverBudget() {
		o.Log.Warn("the agent image is over its budget", "bytes", report.Total, "budget", report.Budget)
	}
	programs, err := a.programs(ctx, o.Out)
	report.Rows = append(report.Rows, programs.Rows...)
	return report, err
}

// complete fills the defaults in and checks the rest.
func (o Options) complete() (Options, error) {
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	if o.Flavour == "" {
		o.Flavour = Full
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Arch != "amd64" && o.Arch != "arm64":
		return o, fmt.Errorf("architecture %q: want amd64 or arm64", o.Arch)
	case o.Flavour != Full && o.Flavour != Cloud:
		return o, fmt.Errorf("flavour %q: want %s or %s", o.Flavour, Full, Cloud)
	case o.Out == "":
		return o, errors.New("build images: no output directory is given")
	case o.Cache == "":
		return o, errors.New("build images: no directory for the package cache is given")
	}
	return o, nil
}

// readAgent reads the agent's binary and refuses one that could not start as
// the only program of an initramfs.
func readAgent(path, arch string) ([]byte, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the agent: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read the agent %s: want a Linux binary: %w", path, err)
	}
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	if file.Machine != machine {
		return nil, fmt.Errorf("read the agent %s: it is for %s; build it with GOARCH=%s", path, file.Machine, arch)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("read the agent %s: it is linked dynamically; build it with CGO_ENABLED=0", path)
		}
	}
	return body, nil
}

// gather fetches and unpacks the packages of a flavour.
func gather(ctx context.Context, a *apt, flavour string) (parts, []deb, error) {
	p := parts{Flavour: flavour, Arch: a.arch, Beside: map[string][]byte{}}
	if err := a.update(ctx); err != nil {
		return p, nil, err
	}
	meta := "linux-image-" + a.arch
	if flavour == Cloud {
		meta = "linux-image-cloud-" + a.arch
	}
	kernel, err := a.depends(ctx, meta, "linux-image-")
	if err != nil {
		return p, nil, err
	}
	const roots = "ca-certificates"
	beside := extras(a.arch)
	debs, err := a.fetch(ctx, slices.Concat([]string{kernel, roots}, firmwarePackages(flavour), slices.Sorted(maps.Keys(beside)))...)
	if err != nil {
		return p, nil, err
	}
	for _, d := range debs {
		files, err := a.unpack(ctx, d)
		if err != nil {
			return p, nil, err
		}
		switch d.Name {
		case kernel:
			p.Kernel = files
		case roots:
			if p.Roots, err = rootCertificates(files); err != nil {
				return p, nil, err
			}
		default:
			if err := beside.take(d.Name, files, &p); err != nil {
				return p, nil, fmt.Errorf("package %s %s: %w", d.Name, d.Version, err)
			}
		}
	}
	if flavour == Cloud { // its kernel knows neither arrays nor XFS
		return p, debs, nil
	}
	var more []deb
	p.Tools, more, err = gatherTools(ctx, a)
	return p, append(debs, more...), err
}

// firmwarePackages are Debian's packages with the firmware of the wanted
// drivers.
func firmwarePackages(flavour string) []string {
	if flavour == Cloud {
		return nil
	}
	return []string{
		"firmware-bnx2", "firmware-bnx2x", "firmware-intel-misc", "firmware-linux-free",
		"firmware-misc-nonfree", "firmware-qlogic", "firmware-realtek",
	}
}
