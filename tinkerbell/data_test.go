package tinkerbell

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
)

func TestHardwareOf(t *testing.T) {
	text, err := json.MarshalIndent(HardwareOf(machine()), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/hardware.golden", string(text)+"\n")
}

func TestParameters(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*registry.Machine)
		want   map[string]string // of those that are looked at
	}{
		"all": {func(*registry.Machine) {}, map[string]string{"device_1": "02:00:00:00:00:01", "mac": "02:00:00:00:00:01",
			"disk": "/dev/disk/by-id/nvme-ACME_1", "arch": "amd64", "firmware": "uefi", "hostname": "rack1-7", "serial": "SN1"}},
		"no by-id":                    {func(m *registry.Machine) { m.Hardware.Disks = m.Hardware.Disks[2:] }, map[string]string{"disk": "/dev/sdb"}},
		"only what can be pulled out": {func(m *registry.Machine) { m.Hardware.Disks = m.Hardware.Disks[:1] }, map[string]string{"disk": ""}},
		"nothing known":               {func(m *registry.Machine) { *m = registry.Machine{Hostname: "lease"} }, map[string]string{"hostname": "lease", "device_1": "", "arch": "", "disk": ""}},
	} {
		m := machine()
		m.Hardware.Disks = slices.Clone(m.Hardware.Disks)
		c.change(&m)
		got := Parameters(m)
		for key, want := range c.want {
			if value, there := got[key]; value != want || there != (want != "") {
				t.Errorf("%s: %s is %q; want %q", name, key, value, want)
			}
		}
	}
}

func TestNewData(t *testing.T) {
	data, err := NewData(machine(), map[string]string{"image_url": "http://x", "hostname": "other"})
	if err != nil || data["image_url"] != "http://x" || data["hostname"] != "other" || data["device_1"] == nil {
		t.Error(data, err)
	}
	for name, want := range map[string]string{"hardware": "choose another", "Hardware": "choose another", "references": "choose another",
		"image-url": "want letters", "1st": "want letters", "": "want letters", "a b": "want letters", "é": "want letters"} {
		if _, err := NewData(machine(), map[string]string{name: "x"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", name, err, want)
		}
	}
}

// A machine that nothing is known of renders what asks for nothing, and never panics.
func TestDataOfAnEmptyMachine(t *testing.T) {
	data := dataOf(t, registry.Machine{})
	if r, err := Render([]byte(`{{ len .Hardware.Disks }}{{ .hardware.kind }}`), data); err != nil || string(r.Text) != "0Hardware" {
		t.Error(string(r.Text), err)
	}
	_, err := Render([]byte("\n{{ .device_1 }}"), data)
	if err == nil || err.Error() != "line 2: no value for .device_1; there are .Hardware, .hardware, .references" {
		t.Error(err)
	}
}

func TestAsks(t *testing.T) {
	for text, want := range map[string]string{
		`{{ .a }} {{ .b.c }} {{ $.d }} {{ (index .e 0).F }} {{ .g | quote }}`:                       "a b d e g",
		`{{ range .a }}{{ .no }}{{ $.b }}{{ else }}{{ .c }}{{ end }}`:                               "a b c",
		`{{ with .a }}{{ .no }}{{ end }}{{ if .b }}{{ .c }}{{ else if .d }}{{ .e }}{{ end }}`:       "a b c d e",
		`{{ define "x" }}{{ .a }}{{ end }}{{ template "x" . }}`:                                     "a",
		`{{ define "x" }}{{ .no }}{{ end }}{{ template "x" .a }}`:                                   "a",
		`{{ define "x" }}{{ .a }}{{ template "x" . }}{{ end }}{{ template "x" $ }}{{ $x := .b.c }}`: "a b",
		`plain`:                "",
		`{{/* .no */}}{{ 1 }}`: "",
	} {
		got, err := Asks([]byte(text))
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	if _, err := Asks([]byte("\n{{ nofunction }}")); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Error(err)
	}
}

func TestGuess(t *testing.T) {
	const text = `
version: "0.1"
name: "{{ .title }}"
tasks:
- name: a
  worker: "{{ .device_1 }}"
  actions:
  - name: a
    image: writefile
    timeout: {{ .seconds }}
    environment: {DEST_DISK: "{{ .target }}", FS_TYPE: ext4, DEST_PATH: "{{ .path }}", UID: "{{ .uid }}", GID: "0", MODE: "{{ .mode }}", DIRMODE: "0755"}
`
	data := dataOf(t, machine())
	before := maps.Clone(data)
	missing, err := Guess([]byte(text), data)
	if err != nil || strings.Join(missing, " ") != "mode path seconds target title uid" {
		t.Fatal(missing, err)
	}
	if _, err := Check([]byte(text), data); err != nil {
		t.Error(err)
	}
	for name := range before {
		if data[name] == nil {
			t.Errorf("%s is gone", name)
		}
	}
}

// Templates that take the first disk take the one that was chosen.
func TestChosenDiskFirst(t *testing.T) {
	m := ExampleMachine()
	second := m.Hardware.Disks[1].ByID
	for disk, want := range map[string]string{"": m.Hardware.Disks[0].ByID, second: second, "/dev/sdx": m.Hardware.Disks[0].ByID} {
		data, err := NewData(m, map[string]string{"disk": disk})
		if err != nil {
			t.Fatal(err)
		}
		out, err := Render([]byte(`{{ index .Hardware.Disks 0 }} {{ (index .hardware.spec.disks 0).device }} {{ len .Hardware.Disks }}`), data)
		if got := string(out.Text); err != nil || got != want+" "+want+" 2" {
			t.Errorf("%q: %q, %v; want %s twice", disk, got, err, want)
		}
	}
}
