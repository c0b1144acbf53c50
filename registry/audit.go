package registry

import (
	"context"
	"encoding/json"
	"time"
)

// Actor is who asks for a change.
type Actor struct {
	Name string `json:"name"`           // of the account or token; "console" on the control socket
	Role string `json:"role,omitempty"` // admin, operator, viewer
	From string `json:"from,omitempty"` // the address the request came from
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
