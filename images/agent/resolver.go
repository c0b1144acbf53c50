package agent

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// resolver is what a DHCP server said of names.
type resolver struct {
	Servers []netip.Addr
	Search  []string
	first   bool // of the port that the machine booted from
}

// readResolver takes it from an ACK. A domain that could not stand in resolv.conf
// is left out.
func readResolver(ack *dhcpv4.DHCPv4) (r resolver) {
	for _, ip := range ack.DNS() {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			r.Servers = append(r.Servers, a)
		}
	}
	domains := []string{ack.DomainName()}
	if search := ack.DomainSearch(); search != nil {
		domains = search.Labels
	}
	for _, d := range domains {
		d = strings.Trim(d, "\x00 ")
		if d != "" && len(d) <= 253 && strings.Trim(strings.ToLower(d), "abcdefghijklmnopqrstuvwxyz0123456789-._") == "" {
			r.Search = append(r.Search, d)
		}
	}
	return r
}

// resolvers keep resolv.conf(5), which Go's resolver reads, as does what runs in the
// installed system, with the name servers of every port.
type resolvers struct {
	file string // empty: none is written

	mu   sync.Mutex
	byID map[int]resolver
}

// put replaces what a port's lease said.
func (r *resolvers) put(index int, first bool, now resolver) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[int]resolver{}
	}
	now.first = first
	r.byID[index] = now
	if r.file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.file), 0o755); err != nil {
		return err
	}
	temp := r.file + ".new"
	if err := os.WriteFile(temp, []byte(r.text()), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, r.file)
}

// text is the file. A resolver asks three servers at most, so those of the port the
// machine booted from stand first.
func (r *resolvers) text() string {
	const most = 3
	var servers []netip.Addr
	var search []string
	ports := slices.Sorted(maps.Keys(r.byID))
	slices.SortStableFunc(ports, func(a, b int) int {
		return -cmp.Compare(btoi(r.byID[a].first), btoi(r.byID[b].first))
	})
	for _, p := range ports {
		for _, s := range r.byID[p].Servers {
			if !slices.Contains(servers, s) && len(servers) < most {
				servers = append(servers, s)
			}
		}
		for _, d := range r.byID[p].Search {
			if !slices.Contains(search, d) && len(search) < 6 {
				search = append(search, d)
			}
		}
	}
	var text strings.Builder
	if len(search) > 0 {
		fmt.Fprintln(&text, "search", strings.Join(search, " "))
	}
	for _, s := range servers {
		fmt.Fprintln(&text, "nameserver", s)
	}
	return text.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
