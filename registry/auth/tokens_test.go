package auth

import (
	"errors"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

func newTokens(t *testing.T) *Tokens {
	t.Helper()
	tokens, err := NewTokens(t.Context(), registrytest.Memory())
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestBootToken(t *testing.T) {
	mac := registry.MAC{0x52, 0x54, 0, 1, 2, 3}
	tokens := newTokens(t)
	token := tokens.Boot(mac)
	first, err := tokens.CheckBoot(token)
	if err != nil || first.MAC != mac || len(first.Boot) != 2*bootNonce {
		t.Fatalf("own token: %+v, %v", first, err)
	}
	if second, err := tokens.CheckBoot(tokens.Boot(mac)); err != nil || second.MAC != mac || second.Boot == first.Boot {
		t.Errorf("of the next boot: %+v, %v", second, err)
	}
	for name, bad := range map[string]string{
		"empty":            "",
		"garbage":          "not base64 !",
		"short":            "Yg",
		"one bit flipped":  flip(token),
		"of another kind":  tokens.Machine("m-1", "0011223344556677"),
		"of another key":   newTokens(t).Boot(mac),
		"with a long tail": token + strings.Repeat("A", 64<<10),
	} {
		if got, err := tokens.CheckBoot(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%s: accepted for %+v, %v", name, got, err)
		}
	}
	tokens.now = func() time.Time { return time.Now().Add(bootTokenLife + time.Second) }
	if _, err := tokens.CheckBoot(token); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its life: %v", err)
	}
}

func flip(token string) string {
	b := []byte(token)
	b[12] ^= 1
	return string(b)
}

func TestMachineTokenIsRenewed(t *testing.T) {
	tokens := newTokens(t)
	token := tokens.Machine("m-1", "0011223344556677")
	if m, err := tokens.CheckMachine(token); err != nil || m != (registry.MachineToken{ID: "m-1", Boot: "0011223344556677"}) {
		t.Fatalf("fresh: %+v, %v", m, err)
	}
	tokens.now = func() time.Time { return time.Now().Add(machineTokenLife/2 + time.Minute) }
	m, err := tokens.CheckMachine(token)
	if err != nil || m.ID != "m-1" || m.Renewed == "" {
		t.Fatalf("past half its life: %+v, %v", m, err)
	}
	tokens.now = func() time.Time { return time.Now().Add(machineTokenLife + time.Minute) }
	if m, err := tokens.CheckMachine(m.Renewed); err != nil || m.ID != "m-1" || m.Boot != "0011223344556677" {
		t.Errorf("the renewed one, when the first is over: %+v, %v", m, err)
	}
	if m, err := tokens.CheckMachine(tokens.Machine("m-1", "")); err != nil || m != (registry.MachineToken{ID: "m-1"}) {
		t.Errorf("one of no boot: %+v, %v", m, err)
	}
}

func TestBootTokenIsForOneMachine(t *testing.T) {
	mac := registry.MAC{0x52, 0x54, 0, 1, 2, 3}
	tokens := newTokens(t)
	token := tokens.Boot(mac)
	for range 2 { // the second time, the answer to the first got lost
		if err := bind(tokens, token, "uuid-1/serial-1"); err != nil {
			t.Fatalf("the machine that boots: %v", err)
		}
	}
	if err := bind(tokens, token, "uuid-2/serial-2"); !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), "another machine has used it") {
		t.Errorf("another machine: %v", err)
	}
	if err := bind(tokens, tokens.Boot(mac), "uuid-2/serial-2"); err != nil {
		t.Errorf("the next boot from that address: %v", err)
	}
	if err := tokens.BindBoot(registry.BootToken{MAC: mac, Boot: "nonsense"}, "uuid-1/serial-1"); !errors.Is(err, ErrToken) {
		t.Errorf("nonsense: %v", err)
	}
}

// bind is what a registration with a token does.
func bind(tokens *Tokens, token, identity string) error {
	b, err := tokens.CheckBoot(token)
	if err != nil {
		return err
	}
	return tokens.BindBoot(b, identity)
}

// TestStrangerCannotUseUpABootToken has a stranger ask for a machine's script at
// the same moment as the machine.
func TestStrangerCannotUseUpABootToken(t *testing.T) {
	mac := registry.MAC{0x52, 0x54, 0, 1, 2, 3}
	tokens, now := newTokens(t), time.Now()
	tokens.now = func() time.Time { return now }
	own, strangers := tokens.Boot(mac), tokens.Boot(mac)
	if err := bind(tokens, strangers, "stranger/stranger"); err != nil {
		t.Fatal(err)
	}
	if err := bind(tokens, own, "uuid-1/serial-1"); err != nil {
		t.Errorf("the machine's own token: %v", err)
	}
}

// However many machines boot, the bindings stay within bounds, and the newest half of
// them hold.
func TestBindingsAreBounded(t *testing.T) {
	tokens := newTokens(t)
	var newest []string
	for i := range maxBound + maxBound/4 {
		token := tokens.Boot(registry.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)})
		if err := bind(tokens, token, "x"); err != nil {
			t.Fatal(err)
		}
		if n := len(tokens.bound.newer) + len(tokens.bound.older); n > maxBound {
			t.Fatalf("%d bindings, at most %d", n, maxBound)
		}
		if newest = append(newest, token); len(newest) > maxBound/2 {
			newest = newest[1:]
		}
	}
	for _, token := range newest {
		if err := bind(tokens, token, "another"); !errors.Is(err, ErrToken) {
			t.Fatalf("a token that was just used, by another machine: %v", err)
		}
	}
}

func TestSeedToken(t *testing.T) {
	tokens := newTokens(t)
	deadline := time.Now().Add(time.Hour)
	token := tokens.Seed("m-1", "d-2", deadline)
	if machine, deployment, err := tokens.CheckSeed(token); err != nil || machine != "m-1" || deployment != "d-2" {
		t.Fatalf("own token: %q, %q, %v", machine, deployment, err)
	}
	if tokens.Seed("m-1", "d-3", deadline) == token || tokens.Seed("m-2", "d-2", deadline) == token {
		t.Error("two deployments have one token")
	}
	for name, bad := range map[string]string{"empty": "", "one bit flipped": flip(token), "of another kind": tokens.Machine("m-1 d-2", ""), "of another key": newTokens(t).Seed("m-1", "d-2", deadline)} {
		machine, deployment, err := tokens.CheckSeed(bad)
		if !errors.Is(err, ErrToken) || errors.Is(err, ErrExpired) || machine+deployment != "" {
			t.Errorf("%s: %q, %q, %v", name, machine, deployment, err)
		}
	}
	tokens.now = func() time.Time { return deadline.Add(time.Second) }
	if machine, deployment, err := tokens.CheckSeed(token); !errors.Is(err, ErrExpired) || !errors.Is(err, ErrToken) || machine+deployment != "" {
		t.Errorf("after the deadline: %q, %q, %v", machine, deployment, err)
	}
}
