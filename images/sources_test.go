package images

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseList(t *testing.T) {
	got := parseList([]byte(`# deb http://commented.example/ trixie main
deb http://a.example/debian bookworm main contrib # why
deb [ signed-by=/k.gpg arch=amd64 ] http://b.example/x  trixie  main
deb-src http://a.example/debian bookworm main
deb http://short.example/
deb ] http://broken.example [ x y
deb http://flat.example/ ./
`))
	want := []archive{
		{"http://a.example/debian", []string{"bookworm"}, []string{"main", "contrib"}},
		{"http://b.example/x", []string{"trixie"}, []string{"main"}},
		{"http://flat.example/", []string{"./"}, []string{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestParseSources(t *testing.T) {
	got := parseSources([]byte(`Types: deb deb-src
# a note in the middle
URIs: http://a.example/debian http://b.example/debian
Suites: trixie
 trixie-updates
Components: main
 non-free-firmware
Signed-By: /k.gpg

types: deb
uris: http://c.example/
suites: c/
Enabled: no

Types: deb-src
URIs: http://d.example/
Suites: trixie
Components: main

 stray continuation
`))
	suites, components := []string{"trixie", "trixie-updates"}, []string{"main", "non-free-firmware"}
	want := []archive{
		{"http://a.example/debian", suites, components},
		{"http://b.example/debian", suites, components},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestDebianOfHost(t *testing.T) {
	const vendor = "deb http://vendor.example/linux/debian bookworm main\n"
	for name, test := range map[string]struct {
		files    map[string]string
		main     string
		security string
	}{
		"deb822": {map[string]string{
			"sources.list.d/vendor.list": vendor,
			"sources.list.d/debian.sources": "Types: deb\nURIs: http://m.example/debian\nSuites: trixie trixie-updates\nComponents: main\n\n" +
				"Types: deb\nURIs: http://m.example/debian-security\nSuites: trixie-security\nComponents: main\n",
		}, "http://m.example/debian", "http://m.example/debian-security"},
		"one line": {map[string]string{
			"sources.list":               "deb cdrom:[Debian 12]/ bookworm main\ndeb http://m.example/pub bookworm main\ndeb http://m.example/pub bookworm-updates main\n",
			"sources.list.d/vendor.list": vendor,
			"sources.list.d/old.bak":     "deb http://bak.example/debian trixie main\n",
		}, "http://m.example/pub", ""},
		"only one suite": {map[string]string{"sources.list": "deb http://m.example/debian sid main\n"}, "http://m.example/debian", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range test.files {
				root["etc/apt/"+file] = &fstest.MapFile{Data: []byte(text)}
			}
			all, err := hostArchives(root)
			if err != nil {
				t.Fatal(err)
			}
			main, security, err := debian(all)
			if err != nil || main != test.main || security != test.security {
				t.Errorf("got %q, %q, %v; want %q, %q", main, security, err, test.main, test.security)
			}
		})
	}
}

func TestNoDebian(t *testing.T) {
	for _, list := range []string{"", "deb http://vendor.example/ nodistro main\n", "deb http://m.example/debian trixie contrib\n"} {
		if _, _, err := debian(parseList([]byte(list))); err == nil || !strings.Contains(err.Error(), "package sources name none") {
			t.Errorf("%q: got %v", list, err)
		}
	}
}

func FuzzSources(f *testing.F) {
	f.Add([]byte("Types: deb\nURIs: http://a/\nSuites: trixie\n x\nComponents: main\n"))
	f.Add([]byte("deb [a=b] http://a/ trixie main\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, a := range append(parseList(text), parseSources(text)...) {
			if a.URI == "" || strings.ContainsAny(a.URI, " \n") {
				t.Errorf("%q is no address", a.URI)
			}
		}
	})
}
