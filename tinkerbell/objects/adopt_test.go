package objects

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAdopt(t *testing.T) {
	for name, c := range map[string]struct {
		hardware string
		want     string
		auto     bool
	}{
		"discovered": {`{"metadata":{"name":"discovery-52-54-00-bb-00-09","labels":{"tinkerbell.org/auto-discovered":"true"},"annotations":{"tinkerbell.org/agent-attributes":
			"{\"cpu\":{\"totalCores\":2},\"product\":{\"name\":\"R740\",\"vendor\":\"Dell Inc.\",\"serialNumber\":\"SN-7\"}}"}},
			"spec":{"interfaces":[{"dhcp":{"mac":"52:54:00:bb:00:09"}},{"dhcp":{"mac":"52:54:00:BB:00:0a"}},{"dhcp":{"mac":"52:54:00:bb:00:09"}}]}}`,
			`{"macs":["52:54:00:bb:00:09","52:54:00:bb:00:0a"],"serial":"SN-7","vendor":"Dell Inc.","model":"R740"}`, true},
		"enrolled": {`{"metadata":{"name":"rack1-7"},"spec":{"auto":{"enrollmentEnabled":true},"interfaces":[{"dhcp":{"mac":"52:54:00:bb:00:09"}}]}}`,
			`{"name":"rack1-7","macs":["52:54:00:bb:00:09"]}`, true},
		"by hand": {`{"metadata":{"name":"hw.7"},"spec":{"metadata":{"instance":{"hostname":"web1"}}}}`, `{"name":"web1"}`, false},
		"garbage": {`{"metadata":{"name":"Not A Name","annotations":{"tinkerbell.org/agent-attributes":"{\"product\":7"}},
			"spec":{"auto":7,"metadata":[],"interfaces":[7,{"dhcp":{"mac":"ff:ff:ff:ff:ff:ff"}},{"dhcp":{"mac":"x"}}]}}`, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			if err := json.Unmarshal([]byte(c.hardware), &u.Object); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(Adopt(u))
			if err != nil || string(got) != c.want || ByItself(u) != c.auto {
				t.Errorf("%s, by itself %v, %v; want %s", got, ByItself(u), err, c.want)
			}
		})
	}
}
