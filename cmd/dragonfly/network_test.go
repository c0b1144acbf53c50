package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// Another server is a problem where it answers boots; several that give out addresses
// may be one; members of our own cluster, and what has fallen silent, are none.
func TestJudgeNeighbours(t *testing.T) {
	boots, gives := registry.NetworkServer{Address: "10.0.0.9", Boots: true, File: "pxelinux.0"}, registry.NetworkServer{Address: "10.0.0.1", Addresses: true}
	other, silent, member := gives, boots, boots
	other.Address, silent.Silent, member.Member = "10.0.0.2", true, true
	for name, test := range map[string]struct {
		servers         []registry.NetworkServer
		problem, inHint string
	}{
		"none":             {nil, "", ""},
		"one":              {[]registry.NetworkServer{gives}, "", ""},
		"two pools":        {[]registry.NetworkServer{gives, other}, "", "2 DHCP servers give out addresses on eth0: 10.0.0.1, 10.0.0.2."},
		"another boots":    {[]registry.NetworkServer{gives, boots}, `10.0.0.9 on eth0 answers network boots, too (pxelinux.0), so`, ""},
		"one that is gone": {[]registry.NetworkServer{gives, silent}, "", ""},
		"one of ours":      {[]registry.NetworkServer{gives, member}, "", ""},
	} {
		problems, hints := judgeNeighbours("eth0", test.servers)
		if got := strings.Join(problems, " "); (got != "") != (test.problem != "") || !strings.Contains(got, test.problem) {
			t.Errorf("%s: problems %q", name, got)
		}
		if got := strings.Join(hints, " "); (got != "") != (test.inHint != "") || !strings.Contains(got, test.inHint) {
			t.Errorf("%s: hints %q", name, got)
		}
	}
}

// Without boot services there is nobody to ask, and the ports that they would need are
// told with who has them.
func TestNetworkWithoutBoots(t *testing.T) {
	r := start(t, testConfig(t))
	t.Cleanup(func() { r.end(t) })
	client := r.client()
	n, err := client.Network(t.Context())
	if err != nil || len(n.Interfaces) != 0 || len(n.Ports) != 4 || !n.Ports[0].Ours || n.Ports[0].Port != r.cfg.Port || n.Ports[1].Ours {
		t.Errorf("%+v, %v", n, err)
	}
	r.get(t, "/boot/52:54:00:00:00:01/auto.ipxe?arch=bios")
	r.get(t, "/boot/nothing")
	if n, err = client.Network(t.Context()); err != nil || n.Boots["scripts"] != 1 || n.Boots["refused"] != 1 {
		t.Errorf("%+v, %v", n.Boots, err)
	}
	if _, err := client.ProbeNetwork(t.Context()); err == nil || !strings.Contains(err.Error(), "--boot") {
		t.Errorf("asked without boot services: %v", err)
	}
	out := r.run(t, "", "network")
	for _, want := range []string{"HTTP boots: 1 refused, 1 scripts", "udp 67", "TFTP"} {
		if !strings.Contains(out, want) {
			t.Errorf("the command says %s", out)
		}
	}
	w := uitest.New(t)
	w.Do(chromedp.Navigate(r.url+"/network"), chromedp.WaitVisible(chromedp.CSS("#network")))
	w.Says("#network", "Network boots are switched off")
	w.Says("#network", "1 refused, 1 scripts")
	if resp, err := http.Post(r.url+"/network/probe", "application/x-www-form-urlencoded", nil); err != nil || resp.StatusCode != http.StatusConflict {
		t.Errorf("%v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	w.Clean(r.url)
}
