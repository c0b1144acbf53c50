package main

import (
	"strings"
	"testing"

	"dragonfly/boot/seed"
	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// seedTemplate writes a seed of cloud-init onto the installed disk.
const seedTemplate = `version: "0.1"
name: seed
tasks:
- name: seed
  worker: "{{ .device_1 }}"
  actions:
{{- range $path, $text := dict "/var/lib/cloud/seed/nocloud/user-data" .user_data "/var/lib/cloud/seed/nocloud/meta-data" .meta_data "/var/lib/cloud/seed/nocloud/network-config" .network_config "/etc/cloud/cloud.cfg.d/99-dragonfly.cfg" .cloud_cfg }}
  - name: write {{ base $path }}
    image: quay.io/tinkerbell/actions/writefile:latest
    timeout: 90
    environment:
      DEST_DISK: {{ formatPartition $.disk 1 }}
      FS_TYPE: ext4
      DEST_PATH: {{ $path }}
      CONTENTS: {{ $text | toJson }}
      UID: 0
      GID: 0
      MODE: "0600"
      DIRMODE: "0700"
{{- end }}
`

// What a seed says reaches the action of a template to the letter, in whatever way it
// was written.
func TestSeedInATemplate(t *testing.T) {
	hostile := "#cloud-config\nruncmd:\n- \"echo \\\"{{ .disk }}\\\" '$HOME' `id` \\\\ \\t \\u00e4 # no: comment\"\n- |\n  cat <<EOF\n   {{ end }}\n  EOF\n"
	for name, layers := range map[string][]seed.Layer{
		"nothing": nil,
		"texts":   {{Source: "tag a", Seed: registry.Seed{UserData: hostile}}, {Seed: registry.Seed{FQDN: "elk.lab.example", Commands: []string{"echo 'a: b' \"c\" > /tmp/x\nexit 0"}}}},
		"parts":   {{Source: "tag a", Seed: registry.Seed{UserData: "#!/bin/sh\necho \"grüß \\\"dich\\\" {{ .disk }}\"\n"}}},
	} {
		documents, err := seed.Render(seed.Request{FirstBoot: registry.FirstBootCloudInit, InstanceID: "d-1", URL: "http://10.0.0.2:3000/boot/metadata/x", Layers: layers})
		if err != nil {
			t.Fatal(err)
		}
		data, err := tinkerbell.NewData(tinkerbell.ExampleMachine(), documents.Parameters())
		if err != nil {
			t.Fatal(err)
		}
		template, err := tinkerbell.Check([]byte(seedTemplate), data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		written := map[string]string{}
		for _, action := range template.Tasks[0].Actions {
			written[strings.TrimPrefix(action.Name, "write ")] = action.Environment["CONTENTS"]
		}
		for file, want := range map[string]string{"user-data": documents.UserData, "meta-data": documents.MetaData, "network-config": documents.NetworkConfig, "99-dragonfly.cfg": seed.CloudConfigFile} {
			if got := written[file]; got != want || want == "" {
				t.Errorf("%s: %s is\n%q, want\n%q", name, file, got, want)
			}
		}
	}
}
