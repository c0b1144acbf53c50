package registrytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/registry"
)

// RequestStore keeps requests with an idempotency key.
type RequestStore interface {
	Claim(ctx context.Context, c registry.Claim) (registry.Claimed, error)
	Answer(ctx context.Context, id, owner, answer string) error
	Commit(ctx context.Context, c registry.Change) error
}

// requests is that storage, in memory.
type requests struct {
	mu     sync.Mutex
	claims map[string]*claimed // by ID
}

type claimed struct {
	registry.Claimed
	until time.Time
}

// Claim gives the right to carry out a request to whoever asks first, or after the
// one before is taken for dead.
func (s *MemoryStore) Claim(ctx context.Context, c registry.Claim) (registry.Claimed, error) {
	r := &s.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return registry.Claimed{}, err
	}
	if r.claims == nil {
		r.claims = map[string]*claimed{}
	}
	have := r.claims[c.ID]
	switch {
	case have == nil:
		have = &claimed{registry.Claimed{Request: c.Request, Op: c.Op, Owner: c.Owner}, c.Until}
		r.claims[c.ID] = have
	case have.Answer == "" && have.until.Before(c.At) && have.Request == c.Request:
		have.Owner, have.until = c.Owner, c.Until
	}
	found := have.Claimed
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range slices.Sorted(maps.Keys(s.ops)) {
		if op == found.Op || strings.HasPrefix(op, found.Op+":") {
			found.Applied = append(found.Applied, op)
		}
	}
	return found, nil
}

// Answer keeps the answer, or gives the claim up.
func (s *MemoryStore) Answer(ctx context.Context, id, owner, answer string) error {
	r := &s.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.claims[id]; have != nil && have.Owner == owner && have.Answer == "" && ctx.Err() == nil {
		have.Answer, have.until = answer, time.Time{}
	}
	return ctx.Err()
}

// Requests tests that a store keeps requests with an idempotency key. open returns
// an empty store, anew for each test.
func Requests(t *testing.T, open func(t *testing.T) RequestStore) {
	t.Run("a request has one owner", func(t *testing.T) { testClaims(t, open(t)) })
	t.Run("a request is taken over", func(t *testing.T) { testTakeOver(t, open(t)) })
	t.Run("of concurrent claims one wins", func(t *testing.T) { testClaimRace(t, open(t)) })
}

// claimOf is a claim of one request, made some seconds after noon, for ten.
func claimOf(owner string, seconds int) registry.Claim {
	at := noon().Add(time.Duration(seconds) * time.Second)
	return registry.Claim{ID: "x'41'", Request: "what", Op: "op-" + owner, Owner: owner, At: at, Until: at.Add(10 * time.Second)}
}

func testClaims(t *testing.T, s RequestStore) {
	ctx := t.Context()
	for _, again := range []string{"first", "retried"} {
		got, err := s.Claim(ctx, claimOf("ana", 0))
		if err != nil || got.Owner != "ana" || got.Op != "op-ana" || got.Answer != "" || got.Request != "what" || len(got.Applied) > 0 {
			t.Errorf("%s: %+v, %v", again, got, err)
		}
	}
	if got, err := s.Claim(ctx, claimOf("bob", 9)); err != nil || got.Owner != "ana" || got.Answer != "" {
		t.Errorf("while it is being carried out: %+v, %v", got, err)
	}
	if err := s.Answer(ctx, "x'41'", "bob", "stolen"); err != nil {
		t.Error(err)
	}
	if err := s.Answer(ctx, "x'41'", "ana", "x'42' done"); err != nil {
		t.Error(err)
	}
	if err := s.Answer(ctx, "x'41'", "ana", "changed"); err != nil {
		t.Error(err)
	}
	other := claimOf("bob", 100)
	other.Request = "something else"
	for _, c := range []registry.Claim{claimOf("bob", 100), other} {
		if got, err := s.Claim(ctx, c); err != nil || got.Owner != "ana" || got.Answer != "x'42' done" || got.Request != "what" {
			t.Errorf("afterwards: %+v, %v", got, err)
		}
	}
}

func testTakeOver(t *testing.T, s RequestStore) {
	ctx := t.Context()
	if _, err := s.Claim(ctx, claimOf("ana", 0)); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"op-ana", "op-ana:m-1", "op-anatol", "other"} {
		if err := s.Commit(ctx, audited(op, "account/x")); err != nil {
			t.Fatal(err)
		}
	}
	other := claimOf("bob", 11)
	other.Request = "something else"
	if got, err := s.Claim(ctx, other); err != nil || got.Owner != "ana" {
		t.Errorf("by another request: %+v, %v", got, err)
	}
	got, err := s.Claim(ctx, claimOf("bob", 11))
	if err != nil || got.Owner != "bob" || got.Op != "op-ana" || !slices.Equal(got.Applied, []string{"op-ana", "op-ana:m-1"}) {
		t.Errorf("after its time: %+v, %v", got, err)
	}
	if err := s.Answer(ctx, "x'41'", "ana", "late"); err != nil {
		t.Error(err)
	}
	if err := s.Answer(ctx, "x'41'", "bob", ""); err != nil {
		t.Error(err)
	}
	if got, err := s.Claim(ctx, claimOf("eve", 12)); err != nil || got.Owner != "eve" || got.Answer != "" {
		t.Errorf("after it was given up: %+v, %v", got, err)
	}
}

func testClaimRace(t *testing.T, s RequestStore) {
	var group sync.WaitGroup
	owners := make([]string, 16)
	for i := range owners {
		group.Go(func() {
			got, err := s.Claim(t.Context(), claimOf(string(rune('a'+i)), 0))
			if err != nil {
				t.Error(err)
			}
			owners[i] = got.Owner
		})
	}
	group.Wait()
	if one := slices.Compact(owners); len(one) != 1 {
		t.Errorf("several owners: %v", one)
	}
}
