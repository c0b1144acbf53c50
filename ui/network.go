package ui

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// networkView is how the server stands on its networks, as the page shows it.
type networkView struct {
	registry.Networks
	Now      time.Time
	Operator bool
	Fault    string // why nobody was asked
}

func (u *UI) network(w http.ResponseWriter, r *http.Request) error {
	return u.showNetwork(w, r, "", http.StatusOK)
}

func (u *UI) showNetwork(w http.ResponseWriter, r *http.Request, fault string, status int) error {
	f := u.frame(r, "Network")
	f.Still = true
	v := u.networkView(r)
	v.Fault = fault
	return render(w, r, status, networkPage(f, v))
}

// networkPart is what is read again while the page is open.
func (u *UI) networkPart(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, networkPart(u.networkView(r)))
}

func (u *UI) networkView(r *http.Request) networkView {
	return networkView{Networks: u.Network(), Now: time.Now(), Operator: operator(r)}
}

// probeNetwork asks which DHCP servers there are, waits for the answers, and shows them.
// It goes on when the browser leaves.
func (u *UI) probeNetwork(w http.ResponseWriter, r *http.Request) error {
	if err := u.Probe(context.WithoutCancel(r.Context())); err != nil {
		return u.showNetwork(w, r, sentence(err), http.StatusConflict)
	}
	http.Redirect(w, r, "/network", http.StatusSeeOther)
	return nil
}

func (u *UI) networkPages() map[string]page {
	return map[string]page{"GET /network": u.network, "GET /network/part": u.networkPart, "POST /network/probe": u.probeNetwork}
}

// countsOf are the numbers that are not 0, with what they count.
func countsOf(numbers map[string]uint64) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if numbers[name] > 0 {
			all = append(all, grouped(int(numbers[name]))+" "+strings.ReplaceAll(name, "_", " "))
		}
	}
	return strings.Join(all, ", ")
}

// does is what another server does.
func does(s registry.NetworkServer) string {
	var all []string
	if s.Addresses {
		all = append(all, "gives out addresses")
	}
	if s.Boots {
		all = append(all, "answers network boots")
	}
	if s.Member {
		all = append(all, "of our cluster")
	}
	if len(all) == 0 {
		return "answers"
	}
	return strings.Join(all, ", ")
}

// heardOf is how a server was heard of.
func heardOf(s registry.NetworkServer) string {
	return registry.Counted(int(s.Answers), "answer") + ", taken by " + registry.Counted(int(s.Chosen), "client")
}

// openBy is who has a port open.
func openBy(p registry.NetworkPort) string {
	by := slices.Clone(p.Others)
	if p.Ours {
		by = append([]string{"Dragonfly"}, by...)
	}
	return strings.Join(by, ", ")
}

// shared reports whether another program of this host takes part of what comes in.
func shared(p registry.NetworkPort) bool { return p.Ours && len(p.Others) > 0 }

// refused reports whether a request was not answered though it was for a boot.
func refused(r registry.NetworkRequest) bool {
	return r.Outcome != "offered" && r.Outcome != "acked" && r.Outcome != "not boot"
}

func portText(p registry.NetworkPort) string {
	return strings.ToUpper(p.Protocol) + " " + strconv.Itoa(p.Port)
}
