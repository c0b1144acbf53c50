package catalogue

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
)

// Every entry that comes with this version is whole: its template is there, and each
// image has a checksum to be checked against.
func TestShipped(t *testing.T) {
	all, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	templates, err := Templates()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range all {
		ids = append(ids, o.ID)
		if templates[o.Template] == "" {
			t.Errorf("%s: there is no template %q", o.ID, o.Template)
		}
		for arch, image := range o.Images {
			if image.URL != "" && image.SHA256 == "" && image.Sums == "" {
				t.Errorf("%s, %s: nothing to check the image against", o.ID, arch)
			}
		}
		if o.FirstBoot == registry.FirstBootCloudInit && o.User == "" {
			t.Errorf("%s: who signs in?", o.ID)
		}
	}
	for _, want := range []string{"debian-12", "debian-12-installer", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04", "rocky-9", "rocky-10",
		"almalinux-9", "almalinux-10", "fedora-43", "opensuse-leap-16.0", "flatcar", "talos"} {
		if !slices.Contains(ids, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if _, there := templates["wipe"]; !there {
		t.Error("there is no template that wipes")
	}
}

func TestParse(t *testing.T) {
	const good = `
id: mine
name: Mine
images: {amd64: {url: "http://x/y.raw.xz", format: raw.xz}}
template: |
  version: "0.1"
  name: mine
first_boot: none
min_disk: 10 GiB
min_memory: 512MiB
`
	for name, text := range map[string]string{"one": good, "a list": "- " + strings.ReplaceAll(strings.TrimSpace(good), "\n", "\n  ")} {
		all, err := Parse([]byte(text))
		if err != nil || len(all) != 1 || all[0].MinDisk != 10<<30 || all[0].MinMemory != 512<<20 || all[0].Images["amd64"].Format != "raw.xz" ||
			!strings.HasPrefix(all[0].Template, "version: \"0.1\"\nname") {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "the text is empty"},
		"a comment":           {"# only\n", "the text is empty"},
		"a word":              {"debian", "line 1: want an operating system, or a list of them"},
		"no YAML":             {"id: [", "line 1"},
		"an unknown member":   {good + "colour: blue\n", "line 11: field colour not found"},
		"in an image":         {"id: mine\nname: M\nimages:\n  amd64: {url: http://x/y, format: raw, sha1: x}\n", "line 4: field sha1 not found"},
		"a size":              {strings.Replace(good, "10 GiB", "ten", 1), `line 9: "ten" is no size; want one such as 10 GB`},
		"a negative size":     {strings.Replace(good, "10 GiB", "-10 GiB", 1), `line 9: "-10 GiB" is no size`},
		"a huge size":         {strings.Replace(good, "10 GiB", "9999999999 TiB", 1), "is no size"},
		"an architecture":     {strings.Replace(good, "amd64", "mips", 1), "line 4: images/mips: want amd64 or arm64"},
		"a format":            {strings.Replace(good, "format: raw.xz", "format: iso", 1), "line 4: images/amd64/format: want raw or qcow2"},
		"a password in a URL": {strings.Replace(good, "http://x", "http://a:b@x", 1), "line 4: images/amd64/url: it has a password in it"},
		"a first boot":        {strings.Replace(good, "none", "magic", 1), "line 8: first_boot: want one of cloud-init"},
		"an engine":           {good + "engine: steam\n", "line 11: engine: want builtin or tinkerbell"},
		"an environment":      {good + "osie: linux\n", "line 11: osie: want one of agent, hook, smee"},
		"no image":            {"id: mine\nname: M\ntemplate: cloud-image\nfirst_boot: none\n", "line 1: images: want an image"},
		"no template":         {"id: mine\nname: M\nimages: {amd64: {url: http://x/y, format: raw}}\nfirst_boot: none\n", "line 1: template: want the name"},
		"an id":               {strings.Replace(good, "id: mine", "id: Mine/1", 1), "line 2: id: want lower-case letters"},
		"the same twice":      {"- {id: a, name: A, images: {amd64: {url: http://x/y, format: raw}}, template: t, first_boot: none}\n- {id: a, name: A, images: {amd64: {url: http://x/y, format: raw}}, template: t, first_boot: none}\n", "line 2: id: a is already in line 1"},
		"in a seed":           {good + "seed: {packges: [curl]}\n", "line 11: this is no seed: unknown field \"packges\""},
		"no seed":             {good + "seed: 7\n", "line 11: this is no seed"},
		"a seed nobody reads": {good + "seed: {packages: [curl]}\n", "line 11: seed: nothing reads it at the first boot"},
		"a password":          {strings.Replace(good, "none", "cloud-init", 1) + "tag_seeds: {gpu: {users: [{name: ana, password_hash: x}]}}\n", "line 11: tag_seeds/gpu/users/0/password_hash: everybody who may look"},
		"two documents":       {good + "---\n" + good, "a second document begins here"},
		"too much":            {strings.Repeat("#", maxText+1), "want at most"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// A Template of Tinkerbell's cluster has an image of its own.
func TestParseClusterTemplate(t *testing.T) {
	all, err := Parse([]byte("id: mine\nname: M\ntemplate: tinkerbell:ubuntu\nengine: tinkerbell\nfirst_boot: none\n"))
	if err != nil || len(all) != 1 || !all[0].Fits("amd64") || !all[0].Fits("arm64") {
		t.Errorf("%+v, %v", all, err)
	}
}

// What is written is read again as it was.
func TestFormat(t *testing.T) {
	all, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	odd := all[0]
	odd.Engine, odd.OSIE = registry.EngineTinkerbell, registry.OSIEHook
	odd.Template, odd.MinDisk, odd.Disabled = "version: \"0.1\"\nname: x\n", 1<<40+1, true
	odd.Seed = registry.Seed{Packages: []string{"curl"}, UserData: "#!/bin/sh\necho '<&>' \"\u2028\"\n"}
	odd.TagSeeds = map[string]registry.Seed{"gpu": {Network: registry.Network{VLANs: []registry.VLAN{{Name: "v", ID: 7, On: "lan0", Link: registry.Link{DHCP4: true}}}}}}
	for _, o := range append(all, odd) {
		text, err := Format(o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], o) {
			t.Errorf("%s\n%+v, %v; want\n%+v", text, again, err, o)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("id: a"))
	f.Add([]byte("- id: a\n  images: {amd64: {url: x}}\n"))
	f.Add(shipped)
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse(text)
		for _, o := range all {
			if err == nil && o.Validate() != nil {
				t.Errorf("an entry that is not valid was taken: %+v", o)
			}
		}
	})
}
