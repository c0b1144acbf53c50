package registry

import (
	"fmt"
	"math"
)

// FullError is returned for a machine that nobody knows yet, while there are as many
// machines as there may be.
type FullError struct{ Most int }

func (e *FullError) Error() string {
	return fmt.Sprintf("there are as many machines as there may be (%d), so a new one from the network is refused; delete those that do not exist, or allow more with --max-machines", e.Most)
}

// Bound sets how many machines there are at most: after that one that comes from the
// network has no record, and those that have go on. What operators list is not bounded,
// and several servers, or registrations at the same moment, may take a few more. 0: no
// bound. It has to be set before [Registry.Run].
func (r *Registry) Bound(most int) { r.most = most }

// Full is a [*FullError] while no machine is added that comes from the network; else nil.
func (r *Registry) Full() error {
	if r.vacancies() > 0 {
		return nil
	}
	return &FullError{r.most}
}

// TurnedAway counts the registrations that were refused with a [*FullError].
func (r *Registry) TurnedAway() int64 { return r.turnedAway.Load() }

// vacancies is how many machines may be added.
func (r *Registry) vacancies() int {
	if r.most == 0 {
		return math.MaxInt
	}
	return max(0, r.most-r.index.Len())
}

// admitNew refuses the registration of a machine that nobody knows while there is no
// room for it.
func (r *Registry) admitNew(reg Registration) error {
	err := r.Full()
	if err != nil {
		r.turnedAway.Add(1)
		r.log.Warn("a new machine is refused", "mac", reg.MAC, "from", reg.Address, "err", err)
	}
	return err
}
