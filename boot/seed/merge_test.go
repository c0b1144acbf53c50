package seed

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// userData renders for cloud-init, without phone_home.
func rendered(t *testing.T, layers ...Layer) (string, error) {
	t.Helper()
	d, err := Render(Request{FirstBoot: registry.FirstBootCloudInit, InstanceID: "d-1", Layers: layers})
	return d.UserData, err
}

func raw(source, text string) Layer { return Layer{source, registry.Seed{UserData: text}} }

func TestUserDataIsMerged(t *testing.T) {
	for name, test := range map[string]struct {
		layers []Layer
		want   string
	}{
		"nothing":          {nil, "{}\n"},
		"an empty config":  {[]Layer{raw("os", "#cloud-config\n")}, "{}\n"},
		"white space":      {[]Layer{raw("os", " \n")}, "{}\n"},
		"lists":            {[]Layer{raw("os", "#cloud-config\npackages: [a, b]\n"), raw("tag", "#cloud-config\npackages: [b, c]\n")}, "packages: [a, b, c]\n"},
		"a list of a list": {[]Layer{raw("os", "#cloud-config\nruncmd:\n- [sh, -c, x]\n- y\n"), raw("tag", "#cloud-config\nruncmd:\n- [sh, -c, x]\n- [sh, -c, z]\n")}, "runcmd:\n  - [sh, -c, x]\n  - y\n  - [sh, -c, z]\n"},
		"what one layer says twice": {[]Layer{raw("os", "#cloud-config\nruncmd: [a]\n"), raw("tag", "#cloud-config\nruncmd: [b, b, a]\n")},
			"runcmd: [a, b, b]\n"},
		"deep mappings": {[]Layer{raw("os", "#cloud-config\napt: {conf: x, sources: {a: {source: 1}}}\n"), raw("tag", "#cloud-config\napt:\n  sources:\n    a: {keyid: k}\n    b: {source: 2}\n")},
			"apt: {conf: x, sources: {a: {source: 1, keyid: k}, b: {source: 2}}}\n"},
		"single values":       {[]Layer{raw("os", "#cloud-config\ntimezone: UTC\n"), raw("tag", "#cloud-config\ntimezone: Europe/Vienna\n")}, "timezone: Europe/Vienna\n"},
		"null takes away":     {[]Layer{raw("os", "#cloud-config\nntp: {enabled: true}\nlocale: C\n"), raw("tag", "#cloud-config\nntp: null\nhere: ~\n")}, "locale: C\n"},
		"settings over texts": {[]Layer{raw("os", "#cloud-config\ntimezone: UTC\n"), {"tag", registry.Seed{Timezone: "Europe/Vienna"}}}, "timezone: Europe/Vienna\n"},
		"a text over the settings of its own layer": {[]Layer{{"tag", registry.Seed{Timezone: "Europe/Vienna", UserData: "#cloud-config\ntimezone: UTC\n"}}},
			"timezone: UTC\n"},
		"users by name": {[]Layer{{"os", registry.Seed{Users: []registry.SeedUser{{Name: "ana", Groups: []string{"adm"}}}}}, {"tag", registry.Seed{Users: []registry.SeedUser{{Name: "ana", Groups: []string{"adm", "docker"}, Shell: "/bin/sh"}, {Name: "ben"}}}}},
			"users:\n  - default\n  - name: ana\n    groups:\n      - adm\n      - docker\n    shell: /bin/sh\n  - name: ben\n"},
		"what YAML 1.1 means is left": {[]Layer{raw("os", "#cloud-config\na: yes\nb: 0644\nc: '0644'\nd: 12:30\ne: |\n  x\n   y\nf: on\n")}, "a: yes\nb: 0644\nc: '0644'\nd: 12:30\ne: |\n  x\n   y\nf: on\n"},
		"aliases":                     {[]Layer{raw("os", "#cloud-config\na: &x {k: [1]}\nb: *x\nc: {<<: *x, l: 2}\n"), raw("tag", "#cloud-config\nb: {k: [2]}\n")}, "a: {k: [1]}\nb: {k: [1, 2]}\nc: {l: 2, k: [1]}\n"},
		"comments go":                 {[]Layer{raw("os", "#cloud-config\n# first\na: 1 # second\n")}, "a: 1\n"},
		"a mark and Windows":          {[]Layer{raw("os", "\ufeff#cloud-config\r\na: |\r\n  x\r\n  y\r\n")}, "a: |\n  x\n  y\n"},
		"a header in capitals":        {[]Layer{raw("os", "\n#Cloud-Config\na: 1\n")}, "a: 1\n"},
		"JSON":                        {[]Layer{raw("os", "#cloud-config\n{\"a\": [1, \"yes\"]}\n"), raw("tag", "#cloud-config\na: [2]\n")}, "\"a\": [1, \"yes\", 2]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rendered(t, test.layers...)
			if err != nil {
				t.Fatal(err)
			}
			body, ok := strings.CutPrefix(got, "#cloud-config\n")
			if !ok || strings.TrimPrefix(strings.TrimSuffix(body, "}\n"), "{") != strings.TrimPrefix(strings.TrimSuffix(test.want, "}\n"), "{") {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestRefusedUserData(t *testing.T) {
	bomb := "#cloud-config\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		bomb += strings.NewReplacer("N", string(rune('1'+i)), "M", string(rune('0'+i))).Replace("aN: &aN [*aM,*aM,*aM,*aM,*aM,*aM,*aM,*aM,*aM,*aM]\n")
	}
	base := raw("os debian-12", "#cloud-config\npackages:\n- curl\nusers: [default]\napt: {conf: x}\n")
	for name, test := range map[string]struct{ text, want string }{
		"plain text":                {"hello", "/user_data: tag lab: line 1: cloud-init would pass this over"},
		"YAML without a header":     {"packages: [curl]\n", "/user_data: tag lab: line 1: cloud-init would pass this over: user data begins with #cloud-config, and then is YAML, or with #!, #cloud-boothook, #include, ## template: jinja, or the headers of a MIME multi-part message; put the line #cloud-config first"},
		"a header with a space":     {"# cloud-config\na: 1\n", `; "# cloud-config" is not exactly #cloud-config`},
		"not YAML":                  {"#cloud-config\na: 1\nb: [1\nc: 2\n", "/user_data: tag lab: line 3: what begins here is not YAML on or before line 4"},
		"a key at the wrong column": {"#cloud-config\na: 1\nb:\n    c: 1\n  d: 2\n", "line 2: what begins here is not YAML on or before line 5: did not find expected key"},
		"a tab":                     {"#cloud-config\na:\n\tb: 1\n", "line 3: not YAML"},
		"a list":                    {"#cloud-config\n- a\n", "line 2: it is a list; want a mapping, such as packages: [curl]"},
		"a text":                    {"#cloud-config\nhello\n", "line 2: it is a single value; want a mapping"},
		"two documents":             {"#cloud-config\na: 1\n---\nb: 2\n", "line 4: a second document begins; cloud-init reads one"},
		"one key twice":             {"#cloud-config\na: 1\nb: 2\na: 3\n", `line 4: "a" is there a second time; the first is on line 2`},
		"a mapping as key":          {"#cloud-config\n? {a: 1}\n: 2\n", "line 2: a key is a text or a number"},
		"a tag":                     {"#cloud-config\na: !!python/object/apply:os.system [id]\n", "line 2: the tag !!python/object/apply:os.system is unknown"},
		"one's own tag":             {"#cloud-config\na: !vault x\n", "line 2: the tag !vault is unknown"},
		"an alias of nothing":       {"#cloud-config\na: *x\n", "unknown anchor"},
		"an alias of itself":        {"#cloud-config\na: &x [*x]\n", "line 2: "},
		"an alias bomb":             {bomb, "there are more than 20000 values in all; aliases multiply"},
		"<< of a text":              {"#cloud-config\na: &x 1\nb: {<<: *x}\n", "line 3: << takes a mapping"},
		"deep":                      {"#cloud-config\na: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "tag lab: "},
		"another kind":              {"#cloud-config\na: 1\npackages: curl\n", "/user_data: tag lab: line 3: packages is a single value, and a list in the user data of os debian-12, line 3; write both in one way"},
		"another kind deep":         {"#cloud-config\napt:\n  conf: {}\n", "line 3: apt.conf is a mapping, and a single value in the user data of os debian-12, line 5"},
		"our phone_home":            {"#cloud-config\nphone_home:\n  url: http://x\n", "line 3: phone_home is how the installed system says that it is ready"},
		"gzip":                      {"\x1f\x8b\x08\x00", "it is packed (gzip); give it unpacked"},
		"Latin-1":                   {"#cloud-config\na: gr\xfc\xdf\n", "line 2: it is not text in UTF-8"},
		"a NUL":                     {"#!/bin/sh\n\x00", "line 2: there is a NUL"},
		"too much":                  {"#!/bin/sh\n" + strings.Repeat("x", MaxUserData), "131082 bytes; at most 131072"},
		"an archive":                {"#cloud-config-archive\n- {type: text/cloud-config, content: x}\n", "line 1: an archive would replace what others say"},
		"a patch of nothing":        {"#cloud-config-jsonp\na: 1\n", "line 1: want a list of patches"},
		"half a message":            {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n", "MIME message: part 1: unexpected EOF"},
		"a message of nothing":      {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x--\n", "the MIME message has no parts"},
		"a message without end":     {"MIME-Version: 1.0\nContent-Type: multipart/mixed\n\nx", "MIME message: "},
		"a part of HTML":            {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/html\n\n<b>\n--x--\n", "part 1 is of no type that cloud-init reads"},
		"a part's own merging":      {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/cloud-config\nMerge-Type: list(append)\n\n#cloud-config\n--x--\n", "part 1 has a Merge-Type; leave it out"},
		"a part with bad YAML":      {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--x\nContent-Type: text/cloud-config\n\n#cloud-config\na: [\n--x--\n", "/user_data: tag lab: part 2, line "},
		"a path as file name":       {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/x-shellscript\nContent-Disposition: attachment; filename=\"a b\"\n\n#!/bin/sh\n--x--\n", `part 1: file name "a b": want letters`},
		"a bad base64":              {"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\n\n!!!\n--x--\n", "part 1: it is not base64, as its header says"},
		"settings of another":       {"#cloud-config\nca_certs: [x]\n", "ca_certs is a list, and a mapping in the settings of tag lab"},
	} {
		t.Run(name, func(t *testing.T) {
			layer := raw("tag lab", test.text)
			if name == "settings of another" {
				layer.CACertificates = []string{readTestdata(t, "ca.pem")}
			}
			got, err := rendered(t, base, layer)
			if found := problemsOf(t, err); !strings.Contains(found, test.want) || len(found) > 1000 {
				t.Errorf("got %q and %.100q, want %q", found, got, test.want)
			}
		})
	}
}

// Every mistake is told at once, with its source.
func TestAllMistakesAreTold(t *testing.T) {
	_, err := rendered(t, raw("os a", "x"), raw("tag b", "#cloud-config\n- x\n"), Layer{"", registry.Seed{UserData: "y"}})
	got := problemsOf(t, err)
	for _, want := range []string{"/user_data: os a: line 1", "/user_data: tag b: line 2", "/user_data: line 1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

func TestRefusedByTheOperatingSystem(t *testing.T) {
	of := func(boot registry.FirstBoot, s registry.Seed) string {
		_, err := Render(Request{FirstBoot: boot, User: "core", InstanceID: "d-1", Layers: []Layer{{"tag lab", s}}})
		return problemsOf(t, err)
	}
	for name, test := range map[string]struct {
		boot registry.FirstBoot
		seed registry.Seed
		want string
	}{
		"packages for Ignition":    {registry.FirstBootIgnition, registry.Seed{Packages: []string{"curl"}}, "/packages: tag lab: Ignition installs no packages"},
		"YAML for Ignition":        {registry.FirstBootIgnition, registry.Seed{UserData: "#cloud-config\na: 1\n"}, "/user_data: tag lab: line 1: want an Ignition config in JSON"},
		"half a config":            {registry.FirstBootIgnition, registry.Seed{UserData: "{\n\"ignition\": {\n"}, "/user_data: tag lab: "},
		"an unknown member":        {registry.FirstBootIgnition, registry.Seed{UserData: "{\"ignition\": {\"version\": \"3.4.0\"},\n\"sistemd\": {}}"}, "/user_data: tag lab: line 2: sistemd: unused key sistemd"},
		"a newer version":          {registry.FirstBootIgnition, registry.Seed{UserData: `{"ignition": {"version": "3.9.0"}}`}, "/user_data: tag lab: unsupported config version"},
		"a path that is not one":   {registry.FirstBootIgnition, registry.Seed{UserData: "{\"ignition\": {\"version\": \"3.4.0\"},\n\"storage\": {\"files\": [{\"path\": \"etc/x\"}]}}"}, "/user_data: tag lab: line 2: storage.files.0.path: path not absolute"},
		"nothing for Talos":        {registry.FirstBootTalos, registry.Seed{}, "/user_data: Talos needs its machine config"},
		"a cloud-config for it":    {registry.FirstBootTalos, registry.Seed{UserData: "#cloud-config\npackages: [curl]\n"}, "/user_data: Talos needs its machine config"},
		"keys for Talos":           {registry.FirstBootTalos, registry.Seed{SSHKeys: []string{anaKey}, UserData: "machine: {type: worker}\n"}, "/ssh_keys: tag lab: Talos takes it from its machine config"},
		"bad YAML for Talos":       {registry.FirstBootTalos, registry.Seed{UserData: "machine:\n  type: [\n"}, "/user_data: tag lab: line "},
		"a list for Talos":         {registry.FirstBootTalos, registry.Seed{UserData: "- a\n"}, "/user_data: tag lab: line 1: it is a list; want a machine config"},
		"user data that is unread": {registry.FirstBootNone, registry.Seed{UserData: "#!/bin/sh\n"}, "/user_data: tag lab: nothing configures this operating system"},
	} {
		if got := of(test.boot, test.seed); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: got %q, want %q...", name, got, test.want)
		}
	}
}

func TestTogetherTooMuch(t *testing.T) {
	list := "#cloud-config\na: [" + strings.Repeat("1,", 9000) + "]\n"
	_, err := rendered(t, raw("a", list), raw("b", list), raw("c", list))
	if got := problemsOf(t, err); !strings.HasPrefix(got, "/user_data: c: line 2: there are more than 20000 values in all") {
		t.Errorf("got %q", got)
	}
	script := "#!/bin/sh\n" + strings.Repeat("x", 120<<10)
	_, err = rendered(t, raw("a", script), raw("b", script), raw("c", script))
	if got := problemsOf(t, err); !strings.Contains(got, "/user_data: together it is") {
		t.Errorf("got %q", got)
	}
}

// Whatever a layer has, either it is told what is wrong, or the document is YAML that
// has it, or a message.
func FuzzUserData(f *testing.F) {
	f.Add("#cloud-config\na: &x [1, {b: *c}]\n")
	f.Add("#cloud-config\nusers: [default, {name: a}]\n<<: {a: ~}\n")
	f.Add("## template: jinja\n#cloud-config\n")
	f.Add("Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: text/plain\n\n#!/bin/sh\n--x--\n")
	f.Add("#cloud-config\n? |\n  a\n: 'b'\n\"c\\u0085\": !!binary aGk=\n")
	f.Fuzz(func(t *testing.T, text string) {
		first := Layer{"os", registry.Seed{Hostname: "elk", Users: []registry.SeedUser{{Name: "ana"}}, Packages: []string{"curl"}}}
		d, err := Render(Request{FirstBoot: registry.FirstBootCloudInit, InstanceID: "d-1", URL: url, Layers: []Layer{first, raw("tag", text)}})
		if err != nil {
			problemsOf(t, err)
			return
		}
		if strings.HasPrefix(d.UserData, "Content-Type:") {
			if parts, err := mimeParts(strings.ReplaceAll(d.UserData, "Merge-Type: "+jinjaMerge+"\n", "")); err != nil || len(parts) < 2 {
				t.Fatalf("%v in\n%s", err, d.UserData)
			}
			return
		}
		var config struct {
			PhoneHome struct{ URL string } `yaml:"phone_home"`
		}
		if err := yaml.Unmarshal([]byte(d.UserData), &config); err != nil || config.PhoneHome.URL != url+"/phone-home" {
			t.Fatalf("%v, %+v in\n%s", err, config, d.UserData)
		}
	})
}
