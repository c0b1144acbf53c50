package main

import (
	"strings"
	"testing"
	"time"

	"dragonfly/registry/api"
)

func TestLeased(t *testing.T) {
	leases := "1700000600 52:54:00:77:00:07 10.77.0.101 * 01:52:54:00:77:00:07\n" +
		"1700000900 52:54:00:77:00:07 10.77.0.102 brave-otter ff:00:01\n" +
		"1700000700 52:54:00:77:00:07 10.77.0.103 * *\n" +
		"1700009999 52:54:00:77:00:08 10.77.0.104 * *\n" +
		"duid 00:01\n\n"
	if got := leased(leases, newVM(7, seaBIOS).MAC); got != "10.77.0.102" {
		t.Errorf("address %q, want the one that ends last, 10.77.0.102", got)
	}
	if got := leased(leases, newVM(6, seaBIOS).MAC); got != "" {
		t.Errorf("address %q of a machine that has none", got)
	}
}

func TestStages(t *testing.T) {
	second := func(n float64) time.Time { return powerOn.Add(time.Duration(n * float64(time.Second))) }
	d := api.Deployment{StartedAt: second(0.5), EndedAt: second(70), Actions: []api.DeploymentAction{
		{Name: "write image", StartedAt: second(1), EndedAt: second(11)},
		{Name: "write seed", StartedAt: second(11), EndedAt: second(11.25)},
	}}
	want := "login after 61.00 s: taken up 0.50, write image 10.00, write seed 0.25, start to login 49.75; phoned home 9.00 later"
	if got := (installation{Deployment: d, login: second(61)}).stages(powerOn); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDebianIsMadeAnewForAnotherRecipe: the file in the cache is called after what it
// is made of.
func TestDebianIsMadeAnewForAnotherRecipe(t *testing.T) {
	recipe := debianRecipe()
	if digest(recipe...) != digest(debianRecipe()...) {
		t.Error("the same recipe has two names")
	}
	recipe[len(recipe)-1] = "trixie"
	if digest(recipe...) == digest(debianRecipe()...) {
		t.Error("another recipe has the same name")
	}
	if !strings.Contains(strings.Join(recipe, " "), "cloud-init") {
		t.Errorf("no cloud-init in %q", recipe)
	}
}
