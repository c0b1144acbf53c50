package main

import (
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestLookedAt(t *testing.T) {
	const good = `version: "0.1"
name: ubuntu
global_timeout: 1800
tasks:
- name: os
  worker: "{{.device_1}}"
  actions:
  - name: stream
    image: quay.io/tinkerbell/actions/image2disk:latest
    timeout: 600
    environment: {DEST_DISK: "{{ index .Hardware.Disks 0 }}", IMG_URL: "{{ .img_url }}"}
`
	got := lookedAt("tinkerbell:ubuntu", good)
	want := foreignTemplate{Template: "tinkerbell:ubuntu", Actions: []templateAction{{"stream", "quay.io/tinkerbell/actions/image2disk:latest"}}, Asks: []string{"img_url"}, Problems: []string{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v; want %+v", got, want)
	}
	if bad := lookedAt("tinkerbell:bad", good+"  - {name: stream, image: x}\n"); len(bad.Problems) == 0 {
		t.Errorf("%+v", bad)
	}
	if odd := lookedAt("tinkerbell:odd", "{{ .references.pool.spec.vlan }}"); len(odd.Problems) == 0 {
		t.Errorf("%+v", odd)
	}
}

func TestTemplatesWithoutCluster(t *testing.T) {
	r := start(t, testConfig(t))
	if code, _, stderr := r.cli(t, "", "tinkerbell", "templates"); code != exitConflict || !strings.Contains(stderr, noTinkerbell) {
		t.Error(code, stderr)
	}
	entry := "id: theirs\nname: Theirs\ntemplate: tinkerbell:ubuntu\nfirst_boot: none\n"
	if code, _, stderr := r.cli(t, entry, "os", "add", "-f", "-"); code != exitConflict || !strings.Contains(stderr, noTinkerbell) {
		t.Error(code, stderr)
	}
}

// What our agent would carry out has to be known to it; what Tinkerbell's environments
// do is for them to say.
func TestCheckActions(t *testing.T) {
	known, unknown := []registry.RecipeAction{{Name: "write", Image: "x/image2disk:v1"}}, []registry.RecipeAction{{Name: "steam", Image: "ghcr.io/x/steam:1"}}
	const says = `the agent has no action for the image "ghcr.io/x/steam:1"`
	for name, c := range map[string]struct {
		cfg     config
		d       registry.Deployment
		actions []registry.RecipeAction
		want    string
	}{
		"known":                       {config{}, registry.Deployment{}, known, ""},
		"the agent":                   {config{}, registry.Deployment{Engine: registry.EngineBuiltin}, unknown, says},
		"the agent as the worker":     {config{OSIE: "agent", TinkServer: "t:1"}, registry.Deployment{Engine: registry.EngineTinkerbell}, unknown, "with `osie: hook` in its entry"},
		"Tinkerbell's own DHCP":       {config{OSIE: "agent"}, registry.Deployment{Engine: registry.EngineTinkerbell}, unknown, ""},
		"HookOS":                      {config{OSIE: "hook", TinkServer: "t:1"}, registry.Deployment{Engine: registry.EngineTinkerbell}, unknown, ""},
		"HookOS for the system":       {config{OSIE: "agent", TinkServer: "t:1"}, registry.Deployment{Engine: registry.EngineTinkerbell, OSIE: registry.OSIEHook}, unknown, ""},
		"the agent for the system":    {config{OSIE: "hook", TinkServer: "t:1"}, registry.Deployment{Engine: registry.EngineTinkerbell, OSIE: registry.OSIEAgent}, unknown, says},
		"Smee, which nobody knows":    {config{OSIE: "agent", TinkServer: "t:1"}, registry.Deployment{Engine: registry.EngineTinkerbell, OSIE: registry.OSIESmee}, known, "nobody said where Smee is"},
		"HookOS, and no Tink server":  {config{OSIE: "agent"}, registry.Deployment{Engine: registry.EngineTinkerbell, OSIE: registry.OSIEHook}, known, "nobody said where Tink server is"},
		"Smee is not for the builtin": {config{OSIE: "agent"}, registry.Deployment{OSIE: registry.OSIESmee}, known, ""},
	} {
		err := (&appliance{cfg: c.cfg}).checkActions(c.d, c.actions)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
