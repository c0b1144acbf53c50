package api_test

import (
	"net/http"
	"strings"
	"testing"

	"dragonfly/registry/api"
)

// A boot token that was read on the wire registers no other machine.
func TestBootTokenRegistersOneMachine(t *testing.T) {
	s := serve(t)
	agent := s.agent()
	first, err := agent.Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := agent.Register(t.Context(), request()); err != nil || again.ID != first.ID {
		t.Errorf("the same machine again: %+v, %v", again, err)
	}
	other := request()
	other.Hardware.System.UUID, other.Hardware.System.Serial = "4c4c4544-0042-3510-8052-b4c04f564434", "SN-2"
	if _, err := agent.Register(t.Context(), other); api.Status(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), "another machine has used it") {
		t.Errorf("another machine: %v", err)
	}
}
