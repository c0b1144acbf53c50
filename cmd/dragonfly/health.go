package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/boot/dhcp"
	"dragonfly/registry"
	"dragonfly/ui"
)

// checks are the parts of the appliance as the page of its health shows them. It asks
// the disk, the kernel, the database and what is in memory, and nobody else on the network.
func (a *appliance) checks(ctx context.Context) []ui.Check {
	all := []ui.Check{a.databaseCheck(), a.backupCheck(ctx), a.journalCheck(), a.diskCheck(), clockCheck(), a.tinkerbellCheck(), a.tinkCheck()}
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
	word := fmt.Sprintf("%d sent, %d refused, %d failed", stats.Sent.Load(), stats.Refused.Load(), stats.Failed.Load())
	if n := stats.Evicted.Load(); n > 0 {
		word += fmt.Sprintf(", %d made room and had acknowledged nothing", n)
	}
	return with(c, "TFTP", word)
}

func (a *appliance) databaseCheck() ui.Check {
	c := ui.Check{Title: "Database", Good: true, Word: "answers"}
	if o := a.registry.Outage(); !o.Since.IsZero() {
		c.Good, c.Word = false, "away since "+o.Since.Local().Format("15:04:05")
		c = with(with(c, "Cause", o.Cause), "What to do", "it often comes back by itself; else see its log, here that is: journalctl -u dragonfly")
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
		late := !m.Expires.IsZero() && time.Until(m.Expires) < expiresSoon
		if !m.Expires.IsZero() {
			word += ", certificate until " + m.Expires.Local().Format(time.DateOnly)
		}
		if late {
			word += ", which is soon: restart it to renew it"
		}
		c.Good = c.Good && m.Reachable && !late
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
	if s.Records > 0 {
		c = with(c, "What to do", "nothing, while the database is away: they are applied when it is back")
	}
	if s.Dead > 0 {
		c = with(c, "Could not be applied", fmt.Sprintf("%d; dragonfly journal shows them, and why", s.Dead))
	}
	if s.Full {
		c = with(c, "Full", "registrations are refused; make room on the disk of "+a.cfg.DataDir)
	}
	return c
}

func (a *appliance) diskCheck() ui.Check {
	s, err := spaceOf(a.cfg.DataDir)
	if err != nil {
		return ui.Check{Title: "Disk", Word: err.Error()}
	}
	c := ui.Check{Title: "Disk", Good: !s.short(), Word: s.String()}
	if s.short() {
		c = with(c, "What to do", "make room, for example with dragonfly image gc, or move the directory to a larger disk; on a full one, changes are refused")
	}
	return with(with(c, "Directory", a.cfg.DataDir), "Wanted free", size(int64(s.floor())))
}

// clockCheck asks the kernel whether something keeps its clock right, see adjtimex(2).
// The certificates of a cluster, sessions and one-time tokens go by it.
func clockCheck() ui.Check {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return ui.Check{Title: "Clock", Off: true, Word: "the kernel does not say how it is kept: " + err.Error()}
	}
	return clockOf(state, t)
}

// timeError is TIME_ERROR of adjtimex(2).
const timeError = 5

func clockOf(state int, t unix.Timex) ui.Check {
	if state == timeError || t.Status&unix.STA_UNSYNC != 0 {
		c := ui.Check{Title: "Clock", Word: "nothing on this host keeps it right"}
		return with(c, "What to do", "timedatectl set-ntp true, or start chrony; the members of a cluster and single sign-on need clocks that agree")
	}
	most := time.Duration(t.Maxerror) * time.Microsecond
	return ui.Check{Title: "Clock", Good: true, Word: "kept right, to " + most.Round(time.Millisecond).String() + " at the worst"}
}

func with(c ui.Check, name, value string) ui.Check {
	c.Facts = append(c.Facts, [2]string{name, value})
	return c
}
