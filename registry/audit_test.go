package registry

import "testing"

func TestActorAccount(t *testing.T) {
	for name, want := range map[string]string{"ana": "ana", "ana/backup": "ana", "console": "console", "": ""} {
		if got := (Actor{Name: name}).Account(); got != want {
			t.Errorf("%q acts for %q, want %q", name, got, want)
		}
	}
}
