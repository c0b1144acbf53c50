package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"dragonfly/registry"
)

// SessionStore keeps sessions by the hash of their id, so that a copy of the
// database signs nobody in.
type SessionStore interface {
	// Session returns a session and when it expires, or [registry.ErrNotFound].
	Session(ctx context.Context, id string) (data string, expires time.Time, err error)
	// PutSession stores a session, and may forget others that have expired.
	PutSession(ctx context.Context, id, data string, expires time.Time) error
	// RenewSession moves the expiry of a session that exists.
	RenewSession(ctx context.Context, id string, expires time.Time) error
	DeleteSession(ctx context.Context, id string) error
}

const (
	sessionBelieved = 5 * time.Second // how long a session in memory is believed unread
	renewEvery      = time.Minute     // a later expiry is written at most this often
	maxSessions     = 10_000          // in memory
)

// sessionCache is the store of package scs: the database, and what it said a
// moment ago. While the database is away sessions in memory go on, and new ones
// live there alone.
type sessionCache struct {
	store SessionStore
	now   func() time.Time

	mu   sync.Mutex
	byID map[string]cachedSession
}

// cachedSession is never changed in place.
type cachedSession struct {
	data    []byte
	expires time.Time
	stored  time.Time // the expiry in the database; zero where it is not there
	checked time.Time // when the database was asked or told last
	ended   bool      // signed out: what is asked with it and under way must not store it again
}

func newSessionCache(store SessionStore) *sessionCache {
	return &sessionCache{store: store, now: time.Now, byID: map[string]cachedSession{}}
}

// FindCtx returns the data of a session.
func (c *sessionCache) FindCtx(ctx context.Context, id string) ([]byte, bool, error) {
	s, known := c.get(id)
	now := c.now()
	if known && (s.ended || s.stored.IsZero() || now.Sub(s.checked).Abs() < sessionBelieved) {
		return s.data, !s.ended && now.Before(s.expires), nil
	}
	data, expires, err := c.store.Session(ctx, id)
	switch {
	case errors.Is(err, registry.ErrNotFound): // signed out, on another server maybe
		c.end(id)
		return nil, false, nil
	case err != nil && known:
		return s.data, now.Before(s.expires), nil
	case err != nil:
		return nil, false, err
	}
	found := cachedSession{data: []byte(data), expires: expires, stored: expires, checked: now}
	if known && s.expires.After(expires) {
		found.expires = s.expires // renewed here, not yet there
	}
	return found.data, c.put(id, found) && now.Before(found.expires), nil
}

// CommitCtx stores a new session, and gives one that is known a later expiry;
// what is in it never changes, for each sign-in gets an id of its own.
func (c *sessionCache) CommitCtx(ctx context.Context, id string, data []byte, expires time.Time) error {
	s, known := c.get(id)
	if known && s.ended {
		return nil
	}
	fresh := !known || !bytes.Equal(s.data, data) || s.stored.IsZero()
	if !fresh && expires.Sub(s.stored) < renewEvery {
		s.expires = expires
		c.put(id, s)
		return nil
	}
	var err error
	if fresh {
		err = c.store.PutSession(ctx, id, string(data), expires)
	} else {
		err = c.store.RenewSession(ctx, id, expires)
	}
	if err != nil && !errors.Is(err, registry.ErrUnavailable) {
		return err
	}
	next := cachedSession{data: data, expires: expires, stored: s.stored, checked: s.checked}
	if err == nil {
		next.stored, next.checked = expires, c.now()
	}
	if !c.put(id, next) && fresh && err == nil { // it ended while it was stored
		return c.store.DeleteSession(ctx, id)
	}
	return nil
}

// DeleteCtx ends a session. Where the database cannot be told it errs, and the
// session is over on this server only.
func (c *sessionCache) DeleteCtx(ctx context.Context, id string) error {
	c.end(id)
	return c.store.DeleteSession(ctx, id)
}

// Find, Commit and Delete complete the interface of package scs, which calls the
// ones with a context.
func (c *sessionCache) Find(id string) ([]byte, bool, error) {
	return c.FindCtx(context.Background(), id)
}

// Commit is CommitCtx.
func (c *sessionCache) Commit(id string, data []byte, expires time.Time) error {
	return c.CommitCtx(context.Background(), id, data, expires)
}

// Delete is DeleteCtx.
func (c *sessionCache) Delete(id string) error { return c.DeleteCtx(context.Background(), id) }

func (c *sessionCache) get(id string) (cachedSession, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.byID[id]
	return s, known
}

// end marks a session that is known as over.
func (c *sessionCache) end(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, known := c.byID[id]; known {
		s.ended = true
		c.byID[id] = s
	}
}

// put remembers a session, unless it is over: then it reports false.
func (c *sessionCache) put(id string, s cachedSession) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.byID[id]
	if before.ended {
		return false
	}
	if !known && len(c.byID) >= maxSessions {
		c.makeRoom()
	}
	c.byID[id] = s
	return true
}

// makeRoom forgets what has expired, and else one that the database has too.
func (c *sessionCache) makeRoom() {
	now, victim := c.now(), ""
	for id, s := range c.byID {
		if !now.Before(s.expires) {
			delete(c.byID, id)
		} else if victim == "" || !s.stored.IsZero() && !s.ended {
			victim = id
		}
	}
	if len(c.byID) >= maxSessions {
		delete(c.byID, victim)
	}
}

// sessionCodec writes sessions as JSON, for the database takes text.
type sessionCodec struct{}

type sessionData struct {
	Deadline time.Time      `json:"deadline"`
	Values   map[string]any `json:"values"`
}

// Encode is part of [scs.Codec].
func (sessionCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(sessionData{deadline, values})
}

// Decode is part of [scs.Codec].
func (sessionCodec) Decode(data []byte) (time.Time, map[string]any, error) {
	var s sessionData
	err := json.Unmarshal(data, &s)
	return s.Deadline, s.Values, err
}
