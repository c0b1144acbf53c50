package objects

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"dragonfly/registry"
)

// renderAgain is what Tinkerbell's controller makes of the data of a Template.
func renderAgain(t *testing.T, data string) string {
	t.Helper()
	parsed, err := template.New("").Option("missingkey=error").Parse(data)
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, map[string]any{}); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return out.String()
}

// RFC 1123 subdomain, and the value of a label.
var (
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
)

func FuzzName(f *testing.F) {
	for _, text := range []string{"", "m-1", "M-1", "a.b", "a..b", ".a", "a.-b", "é", "-", strings.Repeat("x", 300), "x" + strings.Repeat("-", 300) + "y", "a_b"} {
		f.Add(text, "1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		name := Name(a, b)
		if len(name) > 253 || !subdomain.MatchString(name) {
			t.Errorf("Name(%q, %q) = %q", a, b, name)
		}
		if name != Name(a, b) || name != Name(name) {
			t.Errorf("Name(%q, %q) = %q is not stable", a, b, name)
		}
		if value := Label(a); len(value) > 63 || !label.MatchString(value) || value != Label(value) {
			t.Errorf("Label(%q) = %q", a, value)
		}
		if a != b && Name(a) == Name(b) {
			t.Errorf("%q and %q are both %q", a, b, Name(a))
		}
	})
}

// Whatever a recipe holds: it is refused, or Tinkerbell renders it to what it was.
func FuzzBuild(f *testing.F) {
	f.Add(recipe, "brave-otter", "#cloud-config\n")
	f.Add(arm().Recipe.Text, "", "{{ fail }}")
	f.Add("{{{{{ }}}", "\x00", "\xff")
	f.Fuzz(func(t *testing.T, text, name, userData string) {
		if again := renderAgain(t, escape(text)); again != text {
			t.Fatalf("%q became %q", text, again)
		}
		for n := range 3 {
			o := order()
			o.Recipe.Text, o.Machine.Name, o.Recipe.Parameters["user_data"] = text, name, userData
			o.Deployment.Actions = make([]registry.ActionRun, n)
			got, err := Build(o)
			if err != nil {
				continue
			}
			data, _, _ := unstructured.NestedString(got.Template.Object, "spec", "data")
			again := renderAgain(t, data)
			if strings.Contains(text, "global_timeout") && !strings.Contains(again, "global_timeout") {
				t.Errorf("%q became %q", text, again)
			}
			if got.Workflow.GetName() != "d-000000000001-1" || got.Hardware.GetName() != o.Machine.ID {
				t.Error(got)
			}
		}
	})
}
