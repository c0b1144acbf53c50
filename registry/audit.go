package registry

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Actor is who asks for a change.
type Actor struct {
	Name string `json:"name"`           // of the account or token; "console" on the control socket
	Role string `json:"role,omitempty"` // admin, operator, viewer
	From string `json:"from,omitempty"` // the address the request came from
}

// Account is the account that an actor acts for: an API token, which is called after its
// owner and itself, acts for its owner.
func (a Actor) Account() string {
	account, _, _ := strings.Cut(a.Name, "/")
	return account
}

// AuditEntry is one change that somebody made, kept for ever.
type AuditEntry struct {
	Seq    int64 // given by the store
	At     time.Time
	Actor  Actor
	Action string          // such as "machine.lock"
	Object string          // ID of what was changed
	Before json.RawMessage // what changed, as it was; nil for what is new
	After  json.RawMessage // the same, as it is now; nil for what is gone
}

// Note keeps in the audit log what somebody did to what is not in the store, such as
// "image.import" to "image/i-7f3a", and what it is now. It was done, and stands,
// whatever becomes of this.
func (r *Registry) Note(ctx context.Context, action, object string, after any) {
	entry := AuditEntry{At: r.now(), Actor: ActorOf(ctx), Action: action, Object: object}
	if after != nil {
		text, err := json.Marshal(after)
		if err != nil {
			r.log.Error("audit", "action", action, "object", object, "err", err)
		}
		entry.After = text
	}
	if err := r.commit(ctx, Change{Op: newOp(), Audit: []AuditEntry{entry}}); err != nil {
		r.log.Error("audit", "action", action, "object", object, "by", entry.Actor.Name, "err", err)
	}
}

type actorKey struct{}

// WithActor is a context for what actor asks for.
func WithActor(ctx context.Context, actor Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf is who asks; the zero Actor is Dragonfly itself.
func ActorOf(ctx context.Context) Actor {
	actor, _ := ctx.Value(actorKey{}).(Actor)
	return actor
}
