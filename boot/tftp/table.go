package tftp

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// table holds the transfers that are under way, and decides who may begin another.
//
// A request is one packet, and the address that it comes from may be forged. So a
// transfer is unproven until its client has acknowledged something, which whoever forged
// the address could do only by guessing the port that the transfer is sent from (RFC
// 1350, section 4). As with half-open connections of TCP (RFC 4987 calls it recycling),
// the oldest unproven one makes room where there is none; what is proven stays.
type table struct {
	total, perClient int

	mu       sync.Mutex
	running  int
	of       map[netip.Addr]int // how many of them by client
	unproven []*transfer        // in the order in which they came
}

var (
	errBusy     = errors.New("too many transfers at once; try again in a moment")
	errEvicted  = errors.New("made room for another before anything was acknowledged")
	errRepeated = errors.New("a request that is being answered came once more")
)

func newTable(total, perClient int) *table {
	return &table{total: total, perClient: perClient, of: map[netip.Addr]int{}}
}

// enter lets a transfer begin, which may end another; then leave must be called after.
// errRepeated tells that there is one for the same request, which will be sent once more
// anyway, and errBusy that there is no room.
func (t *table) enter(x *transfer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.unproven, x.repeats) {
		return errRepeated
	}
	if err := t.makeRoom(x); err != nil {
		return err
	}
	t.running++
	t.of[x.client.Addr()]++
	t.unproven = append(t.unproven, x)
	return nil
}

// makeRoom ends the oldest unproven transfer where there is no room for x. Where the
// limit of x's own address is met, a request without options is refused instead. The
// answer to it is a whole block, many times its size, and a flood of them would hit
// whose address it is; an OACK is no larger than what it answers.
func (t *table) makeRoom(x *transfer) error {
	client := x.client.Addr()
	ofClient := func(old *transfer) bool { return old.client.Addr() == client }
	ofAnyone := func(*transfer) bool { return true }
	switch {
	case t.of[client] >= t.perClient && !x.negotiates():
		return errBusy
	case t.of[client] >= t.perClient:
		return t.evict(ofClient)
	case t.running >= t.total:
		return t.evict(ofAnyone)
	}
	return nil
}

func (t *table) evict(which func(*transfer) bool) error {
	i := slices.IndexFunc(t.unproven, which)
	if i < 0 {
		return errBusy
	}
	old := t.unproven[i]
	t.unproven = slices.Delete(t.unproven, i, i+1)
	t.release(old)
	old.evicted = true
	old.cancel(errEvicted)
	return nil
}

// prove keeps the place of a transfer, from when its client has acknowledged something.
func (t *table) prove(x *transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unproven = slices.DeleteFunc(t.unproven, func(other *transfer) bool { return other == x })
}

// leave gives back the place of a transfer that has ended, but that of an evicted one,
// which is another's by now.
func (t *table) leave(x *transfer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.evicted {
		return
	}
	t.unproven = slices.DeleteFunc(t.unproven, func(other *transfer) bool { return other == x })
	t.release(x)
}

func (t *table) release(x *transfer) {
	client := x.client.Addr()
	t.running--
	if t.of[client]--; t.of[client] == 0 {
		delete(t.of, client)
	}
}
