package objects

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The interfaces of a Hardware are one field to server-side apply: the list is
// atomic in the schema. And Tinkerbell's controller writes allowPXE into it when a
// Workflow begins and when it succeeded. So whoever applies a Hardware that is there
// already takes over what is there, and where a Workflow did not succeed somebody has
// to turn it off.

// AllowPXE is a Hardware, as [Build] made it, that may boot from the network: what is
// applied where there was none before.
func AllowPXE(hardware *unstructured.Unstructured) *unstructured.Unstructured {
	out := hardware.DeepCopy()
	eachPort(out, func(port map[string]any) {
		port["netboot"] = map[string]any{"allowPXE": true, "allowWorkflow": true}
	})
	return out
}

// Carry is a Hardware as [Build] made it, with what the one in the cluster says of how
// each port boots. It has the resourceVersion of that, so that it is refused, with a
// conflict, where the controller was faster: read and carry again.
func Carry(hardware, live *unstructured.Unstructured) *unstructured.Unstructured {
	out := hardware.DeepCopy()
	out.SetResourceVersion(live.GetResourceVersion())
	boots := map[string]any{}
	eachPort(live.DeepCopy(), func(port map[string]any) { boots[portMAC(port)] = port["netboot"] })
	eachPort(out, func(port map[string]any) {
		if netboot := boots[portMAC(port)]; netboot != nil {
			port["netboot"] = netboot
		}
	})
	return out
}

// PXEPatch is the JSON patch (RFC 6902) that allows every port of a Hardware to boot
// from the network, or forbids it, and changes nothing else; nil where it is so
// already. It is refused where the Hardware has changed since.
func PXEPatch(live *unstructured.Unstructured, allow bool) []byte {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patch := []operation{{"test", "/metadata/resourceVersion", live.GetResourceVersion()}}
	n := -1
	eachPort(live.DeepCopy(), func(port map[string]any) {
		n++
		path := fmt.Sprintf("/spec/interfaces/%d/netboot", n)
		netboot, there := port["netboot"].(map[string]any)
		switch now, _ := netboot["allowPXE"].(bool); {
		case now == allow:
		case !there:
			patch = append(patch, operation{"add", path, map[string]any{"allowPXE": allow}})
		default:
			patch = append(patch, operation{"add", path + "/allowPXE", allow})
		}
	})
	if len(patch) == 1 {
		return nil
	}
	text, err := json.Marshal(patch)
	if err != nil {
		panic(err) // it is texts and booleans
	}
	return text
}

// eachPort calls do with every interface of a Hardware, which it may change. One that
// is no object is empty to it, and stays as it is.
func eachPort(hardware *unstructured.Unstructured, do func(port map[string]any)) {
	ports, _, _ := unstructured.NestedFieldNoCopy(hardware.Object, "spec", "interfaces")
	list, _ := ports.([]any)
	for _, entry := range list {
		port, ok := entry.(map[string]any)
		if !ok {
			port = map[string]any{}
		}
		do(port)
	}
}

func portMAC(port map[string]any) string {
	mac, _, _ := unstructured.NestedString(port, "dhcp", "mac")
	return mac
}
