package ipxe

import (
	"sync/atomic"

	"dragonfly/registry"
)

// Stats counts what was asked for below /boot/. It is safe for concurrent use.
type Stats struct {
	Scripts atomic.Uint64 // that were given to iPXE
	Files   atomic.Uint64 // boot programs, kernels and what belongs to them
	Refused atomic.Uint64
}

// count counts what is answered at a stage of a boot.
func (h *Handler) count(stage registry.Stage) {
	switch {
	case h.Stats == nil:
	case stage == registry.StageScript:
		h.Stats.Scripts.Add(1)
	default:
		h.Stats.Files.Add(1)
	}
}
