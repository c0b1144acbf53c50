package registry_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// The catalogue is made what is wanted, each operating system on its own.
func TestApplyOSes(t *testing.T) {
	r := openTools(t, registrytest.Memory(), testTools())
	mine := registry.OS{ID: "mine", Name: "Mine", Template: "image", FirstBoot: registry.FirstBootNone,
		Images: map[string]registry.OSImage{"amd64": {URL: "http://x/mine.raw", Format: "raw"}}}
	renamed, broken, off, on, unknown := mine, mine, testTools().Catalogue[0], testTools().Catalogue[0], mine
	renamed.Name, renamed.Revision, renamed.MinDisk = "My own", 77, 5e9
	broken.Template = "no such template\n"
	off.Builtin, off.Disabled = true, true
	on.Builtin = true
	unknown.ID, unknown.Builtin = "later", true
	for i, c := range []struct {
		os   registry.OS
		want string
	}{
		{mine, `create; name >Mine; images >{"amd64":{"format":"raw","url":"http://x/mine.raw"}}; template >image; first_boot >none`},
		{mine, "unchanged"},
		{renamed, "edit; name Mine>My own; min_disk >5000000000"},
		{registry.OS{ID: "mine", Name: "Mine"}, "refuse"},
		{on, "unchanged"},
		{off, "edit; disabled >true"},
		{off, "unchanged"},
		{unknown, "refuse"},
	} {
		done, err := r.Apply(by(t, "cleo"), registry.Wanted{OSes: []registry.OS{c.os}})
		if err != nil {
			t.Fatal(err)
		}
		told := string(done.OSes[0].Action)
		for _, change := range done.OSes[0].Changes {
			told += fmt.Sprintf("; %s %s>%s", change.Field, change.Before, change.After)
		}
		if told != c.want {
			t.Errorf("%d: %s, %v\nwant %s", i, told, done.OSes[0].Err, c.want)
		}
	}
	all, err := r.OSes(t.Context())
	renamed.Revision = 0
	if kept := registry.Kept(all); err != nil || !reflect.DeepEqual(kept, []registry.OS{off, renamed}) {
		t.Errorf("%+v, %v", kept, err)
	}
	dry, err := r.Apply(registry.WithDryRun(by(t, "cleo")), registry.Wanted{OSes: []registry.OS{on, mine}})
	if err != nil || dry.OSes[0].Action != registry.ImportEdit || dry.OSes[1].Action != registry.ImportEdit {
		t.Fatalf("%+v, %v", dry.OSes, err)
	}
	if _, err := r.EnableOS(by(t, "ben"), "linux", registry.AnyVersion, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(by(t, "cleo"), registry.Wanted{OSes: []registry.OS{on, mine}, Plan: dry.Plan()}); !errors.Is(err, registry.ErrPlan) {
		t.Errorf("somebody was faster: %v", err)
	}
	if o, err := r.OS(t.Context(), "mine"); err != nil || o.Name != "My own" {
		t.Errorf("%+v, %v", o, err)
	}
}
