package auth

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"dragonfly/registry"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)} }

func TestLockoutGrows(t *testing.T) {
	c, l := newClock(), newLockout()
	l.now = c.now
	for i := range freeTries {
		if err := l.begin("ana", "10.0.0.9"); err != nil {
			t.Fatalf("try %d: %v", i+1, err)
		}
	}
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 900, 900} {
		err := l.begin("ana", "10.0.0.10") // from wherever
		locked, ok := errors.AsType[*LockedError](err)
		if !ok || locked.RetryAfter() != want*time.Second {
			t.Fatalf("want a wait of %d s, got %v", want, err)
		}
		c.at = c.at.Add(locked.Wait)
		if err := l.begin("ana", "10.0.0.10"); err != nil {
			t.Fatalf("after the wait: %v", err)
		}
	}
	c.at = c.at.Add(forgetTries + time.Second)
	if err := l.begin("ana", "10.0.0.10"); err != nil {
		t.Errorf("after a quiet hour: %v", err)
	}
}

func TestLockoutWithAClockThatJumps(t *testing.T) {
	c, l := newClock(), newLockout()
	l.now = c.now
	for range freeTries {
		_ = l.begin("ana", "")
	}
	c.at = c.at.Add(-30 * time.Minute)
	locked, ok := errors.AsType[*LockedError](l.begin("ana", ""))
	if !ok || locked.Wait > longestWait {
		t.Errorf("half an hour back: %v", locked)
	}
	c.at = c.at.Add(-48 * time.Hour)
	if err := l.begin("ana", ""); err != nil {
		t.Errorf("two days back: %v", err)
	}
}

func TestLockoutSparesTheUsualDesk(t *testing.T) {
	l := newLockout()
	l.succeed("ana", "10.0.0.9")
	for range freeTries {
		_ = l.begin("ana", "192.0.2.66")
	}
	if err := l.begin("ana", "192.0.2.66"); err == nil {
		t.Error("the guesser is not locked out")
	}
	if err := l.begin("ana", "10.0.0.9"); err != nil {
		t.Errorf("ana at her desk: %v", err)
	}
}

func TestLockoutIsBounded(t *testing.T) {
	l := newLockout()
	for range freeTries + 1 {
		_ = l.begin("ana", "")
	}
	for i := range maxSuspects + 100 {
		_ = l.begin(fmt.Sprintf("made-up-%d", i), "")
		l.succeed(fmt.Sprintf("made-up-%d", i), fmt.Sprint(i))
		_ = l.begin(fmt.Sprintf("other-%d", i), "")
	}
	if len(l.suspects) > maxSuspects || len(l.familiars) > maxFamiliars {
		t.Errorf("%d suspects, %d familiars", len(l.suspects), len(l.familiars))
	}
	if err := l.begin("ana", ""); err == nil {
		t.Error("a flood of other names freed the one that is locked")
	}
}

// The answer for a name that does not exist is that for one that does.
func TestLockoutTellsNoNames(t *testing.T) {
	accounts := newAccounts(t)
	create(t, accounts, registry.Admin, "ana")
	c := newClock()
	accounts.lockout.now = c.now
	answers := map[string][]string{}
	for _, name := range []string{"ana", "bob"} {
		for range freeTries + 1 {
			answers[name] = append(answers[name], accounts.Check(t.Context(), name, "wrong horse battery").Error())
		}
	}
	for i, answer := range answers["ana"] {
		if answer != answers["bob"][i] {
			t.Errorf("try %d: %q for an account, %q for none", i+1, answer, answers["bob"][i])
		}
	}
	if err := accounts.Check(t.Context(), "ana", password); err == nil {
		t.Error("the right password was taken from a name that is locked")
	}
	c.at = c.at.Add(time.Minute)
	if err := accounts.Check(t.Context(), "ana", password); err != nil {
		t.Errorf("the right password after the wait: %v", err)
	}
	if err := accounts.Check(t.Context(), "ana", "wrong horse battery"); !errors.Is(err, ErrSignIn) {
		t.Errorf("a wrong one after that: %v", err)
	}
}
