package ui

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNetworkOfForm(t *testing.T) {
	const a, b = "52:54:00:00:00:01", "52:54:00:00:00:02"
	for _, c := range []struct {
		form netForm
		want string // JSON, or what is wrong
	}{
		{netForm{Ports: []string{a}, VLAN: "nonsense"}, `{}`},
		{netForm{Mode: "dhcp", Ports: []string{a}}, `{"ethernets":[{"mac":"` + a + `","dhcp4":true}]}`},
		{netForm{Mode: "static", Ports: []string{a}, Addresses: "10.0.0.17/24, 2001:db8::7/64", Gateway: "10.0.0.1", DNS: "10.0.0.1", MTU: "9000"},
			`{"ethernets":[{"mac":"` + a + `","addresses":["10.0.0.17/24","2001:db8::7/64"],"gateways":["10.0.0.1"],"dns":["10.0.0.1"],"mtu":9000}]}`},
		{netForm{Mode: "dhcp", Ports: []string{a}, VLAN: "42"},
			`{"ethernets":[{"mac":"` + a + `","name":"lan0"}],"vlans":[{"name":"lan0.42","id":42,"on":"lan0","dhcp4":true}]}`},
		{netForm{Mode: "dhcp", Ports: []string{a, b}, Bond: "802.3ad", VLAN: "4094"},
			`{"ethernets":[{"mac":"` + a + `","name":"lan0"},{"mac":"` + b + `","name":"lan1"}],"bonds":[{"name":"bond0","members":["lan0","lan1"],"mode":"802.3ad"}],"vlans":[{"name":"bond0.4094","id":4094,"on":"bond0","dhcp4":true}]}`},
		{netForm{Mode: "dhcp"}, "tick the port"},
		{netForm{Mode: "dhcp", Ports: []string{"lan0"}}, "lan0"},
		{netForm{Mode: "dhcp", Ports: []string{a}, VLAN: "4095"}, "1 to 4094"},
		{netForm{Mode: "static", Ports: []string{a}}, "fixed address is missing"},
		{netForm{Mode: "static", Ports: []string{a}, Addresses: "10.0.0.17"}, "length of its prefix"},
		{netForm{Mode: "static", Ports: []string{a}, Addresses: "10.0.0.17/24", Gateway: "router"}, "want an IP address"},
		{netForm{Mode: "dhcp", Ports: []string{a}, MTU: "jumbo"}, "such as 9000"},
	} {
		net, err := c.form.network()
		text, _ := json.Marshal(net)
		if err != nil {
			text = []byte(err.Error())
		}
		if err == nil && string(text) != c.want || err != nil && !strings.Contains(string(text), c.want) {
			t.Errorf("%+v: %s; want %s", c.form, text, c.want)
		}
	}
}
