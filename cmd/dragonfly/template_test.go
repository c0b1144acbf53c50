package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// A template as the API server of Kubernetes holds it: the second line of its text
// is the eighth of the file.
const templateObject = `apiVersion: "tinkerbell.org/v1alpha1"
kind: Template
metadata:
  name: ubuntu
spec:
  data: |
    version: "0.1"
    name: ubuntu-{{ .product }}
    tasks:
    - name: install
      worker: "{{ .device_1 }}"
      volumes: [/dev:/dev]
      actions:
      - name: stream
        image: quay.io/tinkerbell/actions/image2disk:latest
        timeout: 600
        environment:
          DEST_DISK: {{ index .Hardware.Disks 0 }}
          IMG_URL: {{ .image_url }}
`

func TestTemplateCommands(t *testing.T) {
	r := start(t, testConfig(t))
	one := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1")
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "template.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := file(templateObject)
	typo := file(strings.Replace(templateObject, "IMG_URL", "IMGURL", 1))
	unknown := file(strings.Replace(templateObject, "timeout", "time-out", 1))
	for _, step := range []struct {
		args string
		code int
		want string // a part of what is printed
	}{
		{"template check", 2, "want files with templates"},
		{"template check /nonexistent", 1, "no such file"},
		{"template check " + good, 0, ": ubuntu-E1 is good: 1 task, 1 action; to render it needs --set image_url=..."},
		{"template check --set image_url=http://x " + good, 0, "1 action\n"},
		{"template check --machine " + one.Name + " " + good, 0, "is good"},
		{"template check --machine nobody " + good, exitNotFound, "not found"},
		{"template check --set x " + good, 2, "want KEY=VALUE"},
		{"template check --set Hardware=x " + good, 2, "choose another"},
		{"template check " + typo + " " + good, 1, "1 of 2 cannot be used"},
		{"template check " + typo, 1, typo + ":14: task install, action stream: image2disk needs IMG_URL in its environment (IMG_URL: where the image is fetched from)"},
		{"template check " + unknown, 1, unknown + `:16:9: task install, action stream: "time-out" is no member of an action; did you mean timeout?`},
		{"template check " + file("kind: Template\napiVersion: v1\nspec: {data: [1]}"), 1, "none is a Template"},
		{"template check " + file("name: {{ .x"), 1, "template.yaml:1: "},
		{"template check " + file(strings.Replace(templateObject, "index .Hardware.Disks 0", ".target", 1)), 0, "needs --set image_url=..., target=..."},
		{"template check -o json " + typo, 1, `"line": 14,`},
		{"template check -o json " + typo, 1, `"level": "error"`},
		{"template check -o json " + good, 0, `"level": "good"`},
		{"template check -o yaml " + good, 2, "want text or json"},
		{"template render " + good, 2, "--machine NAME"},
		{"template render " + good + " --machine " + one.Name, 1, good + ":19:23: no value for .image_url; there are .Hardware, "},
		{"template render " + good + " --machine " + one.Name + " --set image_url=http://x/u.gz", 0, "      DEST_DISK: /dev/sda\n      IMG_URL: http://x/u.gz\n"},
		{"template render " + good + " --machine " + one.Name + " --set image_url=http://x/u.gz", 0, `worker: "02:00:00:00:00:01"`},
		{"template render " + typo + " --machine " + one.Name + " --set image_url=x", 1, "render a template for " + one.Name + ":\n" + typo + ":14: task install"},
		{"template render " + file(templateObject+"---\n"+templateObject) + " --machine " + one.Name, 1, "has 2 templates; want one"},
	} {
		code, out, errs := r.cli(t, "", strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out+errs, step.want) {
			t.Errorf("%s: %d %s%s; want %d with %q", step.args, code, out, errs, step.code, step.want)
		}
	}
	if code, out, errs := r.cli(t, templateObject, "template", "check", "-"); code != 0 || !strings.HasPrefix(out, "-: ubuntu-E1 is good") {
		t.Errorf("standard input: %d %s%s", code, out, errs)
	}
}

// The actions are told without an appliance.
func TestTemplateActions(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"template actions":               {0, "image2disk    write an image"},
		"template actions cexec":         {0, "BLOCK_DEVICE         device  yes"},
		"template actions cexec -o json": {0, `"required": true`},
		"template actions cexec -o name": {0, "FS_TYPE\n"},
		"template actions cexe":          {2, `action "cexe" is not known; did you mean cexec?`},
	} {
		var out strings.Builder
		if code := run(t.Context(), strings.Fields(args), &out, &out); code != want.code || !strings.Contains(out.String(), want.text) {
			t.Errorf("%s: %d %s; want %d with %q", args, code, out.String(), want.code, want.text)
		}
	}
}

// A machine that was only seen has no hardware to render for.
func TestRenderForAMachineThatOnlyWasSeen(t *testing.T) {
	if _, err := hardwareKnown(api.Machine{Name: "brave-otter"}); err == nil || !strings.Contains(err.Error(), "has not registered") {
		t.Error(err)
	}
}
