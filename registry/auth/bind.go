package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"dragonfly/registry"
)

// binding is the machine that a boot token is good for.
type binding struct {
	machine [sha256.Size]byte
	expires time.Time
}

// maxBound bounds the bindings in memory: more machines than that do not boot
// within the life of a token.
const maxBound = 1 << 16

// BindBoot returns the address that a boot token was given to, and binds the
// token to the machine that identity names, such as by UUID and serial number:
// the first one that comes is the only one it is good for from then on. The same
// machine may come again, for its registration may have been answered into the
// void; another one gets [ErrToken].
//
// Bindings are in memory, on the server that answered, for no boot may have to
// wait for a database that is away: after a restart a token that has not expired
// can be bound anew, within its minutes.
func (t *Tokens) BindBoot(token, identity string) (registry.MAC, error) {
	mac, err := t.CheckBoot(token)
	if err != nil {
		return registry.MAC{}, err
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token) // it was checked
	id, now := [tokenTail]byte(raw[len(raw)-tokenTail:]), t.now()
	machine := sha256.Sum256([]byte(identity))
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.bound[id]
	if known && before.machine != machine {
		return registry.MAC{}, fmt.Errorf("%w: another machine has used it; boot this one again for its own", ErrToken)
	}
	if !known && len(t.bound) >= maxBound {
		t.unbind(now)
	}
	t.bound[id] = binding{machine, now.Add(bootTokenLife)}
	return mac, nil
}

// unbind makes room: what has expired goes, and else any one.
func (t *Tokens) unbind(now time.Time) {
	for id, b := range t.bound {
		if now.After(b.expires) {
			delete(t.bound, id)
		}
	}
	for id := range t.bound {
		if len(t.bound) < maxBound {
			return
		}
		delete(t.bound, id)
	}
}
