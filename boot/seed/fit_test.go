package seed

import (
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
)

// What a first boot cannot take is left out of a seed that is meant for all, and what is
// left is taken.
func TestFit(t *testing.T) {
	all := server(t)
	all.UserData, all.Hostname, all.FQDN = "#cloud-config\nlocale: de_AT.UTF-8\n", "", ""
	for boot, want := range map[registry.FirstBoot]string{
		registry.FirstBootCloudInit: "",
		registry.FirstBootIgnition:  "packages user_data",
		registry.FirstBootTalos:     "ssh_keys users packages commands ca_certificates timezone user_data",
		registry.FirstBootNone:      "users packages commands ca_certificates timezone user_data",
	} {
		fit, left := Fit(all, boot)
		if got := strings.Join(left, " "); got != want {
			t.Errorf("%s: %q is left out, want %q", boot, got, want)
		}
		layers := []Layer{{"the defaults", fit}}
		if boot == registry.FirstBootTalos {
			layers = append(layers, Layer{"os talos", registry.Seed{UserData: "machine: {type: worker}\n"}})
		}
		if _, err := Render(Request{FirstBoot: boot, User: "core", InstanceID: "d-1", Layers: layers}); err != nil {
			t.Errorf("%s: what is left is refused: %v", boot, err)
		}
	}
	if len(all.Packages) == 0 || all.UserData == "" {
		t.Error("the seed itself was changed")
	}
}

func TestOnPort(t *testing.T) {
	mac := registry.MAC{2, 0, 0, 0, 0, 9}
	n := registry.Network{Ethernets: []registry.Ethernet{{Name: "lan0"}, {MAC: registry.MAC{2, 0, 0, 0, 0, 1}}}}
	was := slices.Clone(n.Ethernets)
	got := OnPort(n, mac)
	if got.Ethernets[0].MAC != mac || got.Ethernets[1].MAC != n.Ethernets[1].MAC || n.Ethernets[0].MAC != was[0].MAC {
		t.Errorf("%+v of %+v", got, n)
	}
}
