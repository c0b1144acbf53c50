package objects

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func built(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	got, err := Build(order())
	if err != nil {
		t.Fatal(err)
	}
	return got.Hardware
}

func TestAllowPXE(t *testing.T) {
	hardware := built(t)
	for want, u := range map[int]*unstructured.Unstructured{0: hardware, 3: AllowPXE(hardware)} {
		text, err := u.MarshalJSON()
		if got := strings.Count(string(text), `"allowPXE":true`); got != want || err != nil {
			t.Errorf("%d ports may boot from the network, want %d: %v", got, want, err)
		}
	}
}

// What the controller said of a port stays, also where the ports are others now.
func TestCarry(t *testing.T) {
	live := AllowPXE(built(t))
	live.SetResourceVersion("7")
	first := live.Object["spec"].(map[string]any)["interfaces"].([]any)[0].(map[string]any)
	first["netboot"] = map[string]any{"allowPXE": false}
	ports := live.Object["spec"].(map[string]any)["interfaces"].([]any)
	ports[0], ports[1] = ports[1], ports[0]
	live.Object["spec"].(map[string]any)["interfaces"] = append(ports[:2], "nonsense")

	got := Carry(built(t), live)
	var allow []any
	eachPort(got, func(port map[string]any) {
		on, found, _ := unstructured.NestedFieldNoCopy(port, "netboot", "allowPXE")
		allow = append(allow, on, found)
	})
	if got.GetResourceVersion() != "7" || len(allow) != 6 || allow[0] != false || allow[1] != true || allow[2] != true || allow[5] != false {
		t.Error(got.GetResourceVersion(), allow)
	}
}

func TestPXEPatch(t *testing.T) {
	live := AllowPXE(built(t))
	live.SetResourceVersion("7")
	ports := live.Object["spec"].(map[string]any)["interfaces"].([]any)
	delete(ports[1].(map[string]any), "netboot")
	if got := string(PXEPatch(live, false)); got != `[{"op":"test","path":"/metadata/resourceVersion","value":"7"},`+
		`{"op":"add","path":"/spec/interfaces/0/netboot/allowPXE","value":false},{"op":"add","path":"/spec/interfaces/2/netboot/allowPXE","value":false}]` {
		t.Error(got)
	}
	if got := string(PXEPatch(live, true)); !strings.HasSuffix(got, `,{"op":"add","path":"/spec/interfaces/1/netboot","value":{"allowPXE":true}}]`) || strings.Count(got, "op") != 2 {
		t.Error(got)
	}
	if got := PXEPatch(built(t), false); got != nil {
		t.Errorf("%s", got)
	}
	if got := PXEPatch(&unstructured.Unstructured{Object: map[string]any{"spec": "nonsense"}}, true); got != nil {
		t.Errorf("%s", got)
	}
}
