package images

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Programs fetches the network boot programs into Out/nbp, as [Build] does too:
// iPXE, from Debian's package ipxe, which holds those of all architectures.
func Programs(ctx context.Context, o Options) (Report, error) {
	o, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	a, err := openAPT(o)
	if err != nil {
		return Report{}, err
	}
	if err := a.update(ctx); err != nil {
		return Report{}, err
	}
	return a.programs(ctx, o.Out)
}

// program is one file of the package ipxe and the machines that boot it.
type program struct{ Name, For string }

// programs lists what is served, by the names that clients ask for. Debian has
// no 32-bit EFI program, and for arm64 no snponly.
func programs() []program {
	return []program{
		{"undionly.kpxe", "BIOS (client architecture 0)"},
		{"snponly.efi", "UEFI x86-64 (7, 9), HTTP Boot (16)"},
		{"ipxe-arm64.efi", "UEFI arm64 (11), HTTP Boot (19)"},
	}
}

func (a *apt) programs(ctx context.Context, out string) (Report, error) {
	debs, err := a.fetch(ctx, "ipxe")
	if err != nil {
		return Report{}, err
	}
	pkg, err := a.unpack(ctx, debs[0])
	if err != nil {
		return Report{}, err
	}
	files := map[string][]byte{}
	var report Report
	for _, p := range programs() {
		body, err := fs.ReadFile(pkg, "usr/lib/ipxe/"+p.Name)
		if err != nil {
			return Report{}, fmt.Errorf("read boot program %s of package ipxe %s: %w", p.Name, debs[0].Version, err)
		}
		files[p.Name] = body
		report.add("nbp/"+p.Name+": "+p.For, 1, len(body))
	}
	manifest := manifest{Packages: debs, Files: describe(files)}
	if files["manifest.json"], err = manifest.encode(); err != nil {
		return Report{}, err
	}
	return report, publish(filepath.Join(out, "nbp"), files)
}
