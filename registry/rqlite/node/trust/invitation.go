package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dragonfly/registry/durable"
)

// invitationLife is how long a join token is good.
const invitationLife = 15 * time.Minute

// admissionLife is how long a host that used a token may take until it has
// started and is a member.
const admissionLife = 24 * time.Hour

// invitation is a join token as the member that made it keeps it.
type invitation struct {
	Hash    string    `json:"hash"` // SHA-256 of the secret, hexadecimal
	Expires time.Time `json:"expires"`
	ID      string    `json:"id,omitempty"` // of the member-to-be that used it
	Address string    `json:"address,omitempty"`
	Used    time.Time `json:"used,omitzero"`
}

// over reports whether an invitation is of no use to anybody.
func (i invitation) over(now time.Time) bool {
	if i.ID == "" {
		return !now.Before(i.Expires)
	}
	return now.Sub(i.Used) > admissionLife
}

// tokenPrefix begins a join token: dragonfly-join/HOST:PORT/CA/SECRET.
const tokenPrefix = "dragonfly-join"

// token is a join token, taken apart.
type token struct {
	address   string // of the member that made it
	authority string // hash of the authority's certificate, hexadecimal
	secret    string
}

func (t token) String() string {
	return strings.Join([]string{tokenPrefix, t.address, t.authority, t.secret}, "/")
}

// parseToken takes a token apart, or says what is wrong without repeating it.
func parseToken(text string) (token, error) {
	parts := strings.Split(strings.TrimSpace(text), "/")
	if len(parts) != 4 || parts[0] != tokenPrefix || len(parts[2]) != 2*sha256.Size || parts[3] == "" {
		return token{}, errors.New("join token: it is not whole; want what `dragonfly cluster token` prints on a member, from " + tokenPrefix + "/ on")
	}
	if err := CheckAddress(parts[1]); err != nil {
		return token{}, fmt.Errorf("join token: %w", err)
	}
	return token{parts[1], parts[2], parts[3]}, nil
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Invite makes a join token and says until when it is good.
func (f *Folder) Invite() (text string, expires time.Time, err error) {
	secret := rand.Text()
	expires = f.now().Add(invitationLife).UTC()
	err = f.changeInvitations(func(all []invitation) ([]invitation, error) {
		return append(all, invitation{Hash: hashOf([]byte(secret)), Expires: expires}), nil
	})
	if err != nil {
		return "", time.Time{}, err
	}
	return token{f.member.Address, hashOf(f.authority.cert.Raw), secret}.String(), expires, nil
}

// errToken is all that a stranger learns of a token.
var errToken = errors.New("the join token is wrong, used or older than a quarter of an hour; make another with `dragonfly cluster token` on a member")

// redeem uses a token for the member-to-be with an ID, or errs with errToken. The
// same one may use it again until it expires, since the answer may have got lost.
// Where check errs the token stays as it was.
func (f *Folder) redeem(secret, id, address string, check func() error) error {
	hash, now := []byte(hashOf([]byte(secret))), f.now()
	return f.changeInvitations(func(all []invitation) ([]invitation, error) {
		for i := range all {
			same := subtle.ConstantTimeCompare(hash, []byte(all[i].Hash)) == 1
			if same && now.Before(all[i].Expires) && (all[i].ID == "" || all[i].ID == id) {
				all[i].ID, all[i].Address, all[i].Used = id, address, now.UTC()
				return all, check()
			}
		}
		return nil, errToken
	})
}

// Admitted is the address at which the member-to-be with an ID said it is
// reached; not ok where this member invited none with that ID.
func (f *Folder) Admitted(id string) (address string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.invitations()
	if err != nil {
		return "", false
	}
	for _, i := range all {
		if i.ID == id {
			return i.Address, true
		}
	}
	return "", false
}

// Forget drops the invitation of one that is a member now, or no more: it does
// not let it in again.
func (f *Folder) Forget(id string) error {
	return f.changeInvitations(func(all []invitation) ([]invitation, error) {
		return slices.DeleteFunc(all, func(i invitation) bool { return i.ID == id }), nil
	})
}

// changeInvitations writes what change makes of the invitations that are not over.
func (f *Folder) changeInvitations(change func([]invitation) ([]invitation, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.invitations()
	if err == nil {
		all, err = change(all)
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = durable.Replace(filepath.Join(f.dir, invitationsFile), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("save invitations: %w", err)
	}
	return nil
}

// invitations reads those that are not over. The caller holds mu.
func (f *Folder) invitations() (all []invitation, err error) {
	text, err := f.read(invitationsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	now := f.now()
	return slices.DeleteFunc(all, func(i invitation) bool { return i.over(now) }), nil
}
