package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"dragonfly/registry"
)

// maxBound bounds the bindings in memory: more machines than that do not boot
// within the life of a token.
const maxBound = 1 << 16

// bindings are the machines that boot tokens are good for, as hashes, by the subjects
// of the tokens. They are in two generations: when the newer one is half of what there may
// be, the older one goes, whose tokens have expired unless a whole data centre boots. A
// search for those that have would be as long as all of them, for every machine of it.
type bindings struct {
	newer, older map[[bootSubject]byte][sha256.Size]byte
}

// of is the machine that a token is bound to.
func (b *bindings) of(token [bootSubject]byte) (machine [sha256.Size]byte, known bool) {
	if machine, known = b.newer[token]; !known {
		machine, known = b.older[token]
	}
	return machine, known
}

// put binds a token, which makes it one of the newest.
func (b *bindings) put(token [bootSubject]byte, machine [sha256.Size]byte) {
	if len(b.newer) >= maxBound/2 {
		b.newer, b.older = nil, b.newer
	}
	if b.newer == nil {
		b.newer = map[[bootSubject]byte][sha256.Size]byte{}
	}
	b.newer[token] = machine
}

// BindBoot binds a boot token, which was checked, to the machine that identity names,
// such as by UUID and serial number: the first one that comes is the only one it is good
// for from then on. The same machine may come again, for its registration may have been
// answered into the void; another one gets [ErrToken].
//
// Bindings are in memory, on the server that answered, for no boot may have to
// wait for a database that is away: after a restart a token that has not expired
// can be bound anew, within its minutes.
func (t *Tokens) BindBoot(b registry.BootToken, identity string) error {
	var subject [bootSubject]byte
	nonce, err := hex.DecodeString(b.Boot)
	if err != nil {
		return ErrToken
	}
	copy(subject[copy(subject[:], b.MAC[:]):], nonce)
	machine := sha256.Sum256([]byte(identity))
	t.mu.Lock()
	defer t.mu.Unlock()
	if before, known := t.bound.of(subject); known && before != machine {
		return fmt.Errorf("%w: another machine has used it; boot this one again for its own", ErrToken)
	}
	t.bound.put(subject, machine)
	return nil
}
