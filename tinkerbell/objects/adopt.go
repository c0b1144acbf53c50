package objects

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"dragonfly/registry"
)

// What Tinkerbell marks the Hardware with that it made itself, of an agent that nobody
// had told it of (v0.25.0, tink/server/internal/grpc/discovery.go), and where it keeps
// what the agent said of its machine.
const (
	labelDiscovered      = "tinkerbell.org/auto-discovered"
	annotationAttributes = "tinkerbell.org/agent-attributes"
)

// ByItself reports whether Tinkerbell found a Hardware by itself, or may enrol it by
// itself.
func ByItself(hardware *unstructured.Unstructured) bool {
	enrols, _, _ := unstructured.NestedBool(hardware.Object, "spec", "auto", "enrollmentEnabled")
	return enrols || hardware.GetLabels()[labelDiscovered] != ""
}

// Adopt is the machine that a Hardware is of, as far as that says which it is: what is
// not there, or of another kind than it has to be, is not said.
func Adopt(hardware *unstructured.Unstructured) registry.Listed {
	var said struct {
		Product struct{ Name, Vendor, SerialNumber string }
	}
	_ = json.Unmarshal([]byte(hardware.GetAnnotations()[annotationAttributes]), &said) // what cannot be read is not said
	l := registry.Listed{Name: machineName(hardware), Serial: said.Product.SerialNumber, Vendor: said.Product.Vendor, Model: said.Product.Name}
	eachPort(hardware, func(port map[string]any) {
		mac, err := registry.ParseMAC(portMAC(port))
		if err == nil && mac.Unicast() && !slices.Contains(l.MACs, mac) {
			l.MACs = append(l.MACs, mac)
		}
	})
	return l
}

// machineName is the host name of the machine, or else what people called its Hardware;
// empty where neither is the name of a machine.
func machineName(hardware *unstructured.Unstructured) string {
	host, _, _ := unstructured.NestedString(hardware.Object, "spec", "metadata", "instance", "hostname")
	for _, name := range []string{host, hardware.GetName()} {
		if badLabel(name) == "" && !strings.HasPrefix(name, "discovery-") {
			return name
		}
	}
	return ""
}
