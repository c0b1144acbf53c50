package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dragonfly/boot/dhcp"
	"dragonfly/registry"
	"dragonfly/ui"
)

// checks are the parts of the appliance as the page of its health shows them. It asks
// the disk, the database and what is in memory, and nobody else on the network.
func (a *appliance) checks(ctx context.Context) []ui.Check {
	all := []ui.Check{a.databaseCheck(), a.backupCheck(ctx), a.journalCheck(), a.diskCheck(), a.tinkerbellCheck(), a.tinkCheck()}
	if len(a.boot) == 0 {
		all = append(all, ui.Check{Title: "Network boots", Off: true, Word: "switched off: no machine is answered; start with --boot", Facts: a.httpFacts()})
	}
	for i, b := range a.boot {
		all = append(all, b.check(a.ports.boot[i].on.Addr, a.httpFacts()), a.neighbourCheck(b))
	}
	return all
}

// neighbourCheck is how the other DHCP servers are on one interface.
func (a *appliance) neighbourCheck(b *bootServer) ui.Check {
	servers, _ := a.neighbours(b)
	problems, hints := judgeNeighbours(b.on, servers)
	c := ui.Check{Title: "Other DHCP servers on " + b.on, Good: len(problems) == 0, Word: "none gets in the way"}
	switch {
	case len(problems) > 0:
		c.Word = "network boots are answered by " + registry.Counted(len(problems), "other server") + ", too"
	case len(hints) > 0:
		c.Word = hints[0]
	case len(servers) == 0:
		c.Word = "none was heard of; the page Network asks"
	}
	for _, s := range servers {
		c = with(c, s.Address, neighbourWord(s))
	}
	return c
}

// neighbourWord is what another server does.
func neighbourWord(s registry.NetworkServer) string {
	var does []string
	if s.Addresses {
		does = append(does, "gives out addresses")
	}
	if s.Boots {
		does = append(does, strings.TrimSpace("answers network boots "+s.File))
	}
	if s.Member {
		does = append(does, "a member of our cluster")
	}
	word := strings.Join(does, ", ")
	if s.Silent {
		word += "; silent"
	}
	return cmp.Or(word, "answers")
}

func (a *appliance) httpFacts() [][2]string {
	return [][2]string{{"HTTP port", strconv.Itoa(int(a.ports.httpPort()))}}
}

// check is how the boot services are on one interface.
func (b *bootServer) check(addr netip.Addr, facts [][2]string) ui.Check {
	c := ui.Check{Title: "Network boots on " + b.on, Good: true, Word: "answered as " + addr.String(),
		Facts: append(facts, [2]string{"Ports", "UDP 67 and 4011 (DHCP), UDP 69 (TFTP)"})}
	for _, outcome := range dhcp.Outcomes() {
		if n := b.dhcp.Stats.Count(outcome); n > 0 {
			c.Facts = append(c.Facts, [2]string{"DHCP " + strings.ReplaceAll(outcome.String(), "_", " "), strconv.FormatUint(n, 10)})
		}
	}
	stats := &b.tftp.Stats
	c.Facts = append(c.Facts, [2]string{"TFTP", fmt.Sprintf("%d sent, %d refused, %d failed", stats.Sent.Load(), stats.Refused.Load(), stats.Failed.Load())})
	return c
}

func (a *appliance) databaseCheck() ui.Check {
	c := ui.Check{Title: "Database", Good: true, Word: "answers"}
	if o := a.registry.Outage(); !o.Since.IsZero() {
		c.Good, c.Word = false, "away since "+o.Since.Local().Format("15:04:05")
		c.Facts = append(c.Facts, [2]string{"Cause", o.Cause})
	}
	if a.db.node == nil {
		return with(c, "Where", "in an rqlite elsewhere")
	}
	members := a.db.node.Seen()
	if len(members) == 0 {
		return with(c, "Where", "in this server, which stands alone")
	}
	for _, m := range members {
		word := map[bool]string{true: "reachable", false: "away: " + m.Cause}[m.Reachable]
		if m.Leader {
			word += ", leads"
		}
		if !m.Voter {
			word += ", joining"
		}
		if !m.Expires.IsZero() {
			word += ", certificate until " + m.Expires.Local().Format(time.DateOnly)
		}
		c.Good = c.Good && m.Reachable
		c = with(c, cmp.Or(m.Name, m.ID), word)
	}
	return c
}

func (a *appliance) journalCheck() ui.Check {
	s := a.standby.journal.Stats()
	c := ui.Check{Title: "Journal", Good: s.Records == 0 && s.Dead == 0 && !s.Full, Word: fmt.Sprintf("%d records wait for the database", s.Records)}
	if s.Records == 0 {
		c.Word = "nothing waits"
	}
	c = with(c, "Written and settled", fmt.Sprintf("%d and %d since the start", s.Appended, s.Settled))
	if s.Dead > 0 {
		c = with(c, "Could not be applied", fmt.Sprintf("%d; see `dragonfly journal`", s.Dead))
	}
	return c
}

func (a *appliance) diskCheck() ui.Check {
	s, err := spaceOf(a.cfg.DataDir)
	if err != nil {
		return ui.Check{Title: "Disk", Word: err.Error()}
	}
	c := ui.Check{Title: "Disk", Good: !s.short(), Word: s.String()}
	return with(with(c, "Directory", a.cfg.DataDir), "Wanted free", size(int64(s.floor())))
}

func with(c ui.Check, name, value string) ui.Check {
	c.Facts = append(c.Facts, [2]string{name, value})
	return c
}
