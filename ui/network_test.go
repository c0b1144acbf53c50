package ui

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// crowded is a server on a network on which another one gets in the way, and somebody
// sends what no server should.
func crowded() registry.Networks {
	now, card := time.Now(), registry.MAC{2, 0, 0, 0, 0, 9}
	return registry.Networks{
		Interfaces: []registry.NetworkInterface{{Name: "eth0", Card: registry.MAC{2, 0, 0, 0, 0, 1}, Address: "10.0.0.2", Addresses: []string{"10.0.0.2/24"}, Link: true,
			DHCP: map[string]uint64{"offered": 1200, "not_boot": 3}, TFTP: map[string]uint64{"sent": 0}, Beyond: 7, Deaf: "operation not permitted",
			Problems: []string{"the DHCP server 10.0.0.9 on eth0 answers network boots, too: look again: `dragonfly network probe`"}, Hints: []string{"2 DHCP servers give out addresses"},
			Servers: []registry.NetworkServer{{Address: "10.0.0.1", Addresses: true, Chosen: 4, First: now, Last: now}, {Address: "10.0.0.9", Card: &card, Boots: true, File: `<script>alert("x")</script>`, Answers: 2, First: now, Last: now},
				{Address: "10.0.0.10", Boots: true, Silent: true, First: now, Last: now}},
			Requests: []registry.NetworkRequest{{At: now, MAC: card, Client: "PXE firmware, uefi-x64", Port: 67, Outcome: "offered", Why: "firmware loads iPXE", Times: 1},
				{At: now, MAC: card, Client: "PXE firmware, unknown", Port: 4011, Outcome: "unsupported", Why: "no boot program for this firmware", Times: 3},
				{At: now, MAC: card, Client: "other", Port: 67, Outcome: "not boot", Why: "not a boot client", Times: 1}}}},
		Ports: []registry.NetworkPort{{Port: 67, Protocol: "udp", On: "eth0", For: "proxyDHCP", Ours: true, Others: []string{"dnsmasq (pid 7)"}}, {Port: 69, Protocol: "udp", On: "*", For: "TFTP"}},
		Boots: map[string]uint64{"scripts": 5},
	}
}

func TestNetworkPage(t *testing.T) {
	u := newUI(t, newRack(0), func(c *Config) {
		c.Network, c.Probe = crowded, func(context.Context) error { return errors.New("the servers were asked a few seconds ago") }
	})
	wantPage(t, get(t, u, "/network"), "3 not boot, 1,200 offered", "none yet", "&lt;script&gt;alert(", "taken by 4 clients", "Dragonfly, dnsmasq (pid 7)", "Two programs have it", "nobody",
		"no boot program for this firmware", "<code>dragonfly network probe</code>", "7 more were named", "An operator may ask", "5 scripts")
	w := httptest.NewRecorder()
	u.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/network/probe", nil))
	if w.Code != http.StatusConflict {
		t.Errorf("status %d", w.Code)
	}
	wantTexts(t, w, "The servers were asked a few seconds ago.")
}

func TestBrowserNetwork(t *testing.T) {
	operators := func(u *UI) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u.ServeHTTP(w, r.WithContext(registry.WithActor(r.Context(), registry.Actor{Name: "ana", Role: string(registry.Operator)})))
		})
	}
	asked := 0
	server := httptest.NewServer(operators(newUI(t, newRack(0), func(c *Config) {
		c.Network, c.Probe = crowded, func(context.Context) error { asked++; return nil }
	})))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(server.URL+"/network"), chromedp.Click(chromedp.CSS(".head button")), chromedp.WaitVisible(chromedp.CSS("#network")))
	w.Says("#network", "silent")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	w.AccessibleHere()
	w.Clean(server.URL)
}
