package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// Check is one part of the appliance as the page of its health shows it.
type Check struct {
	Title string
	Good  bool
	Off   bool   // by choice: neither good nor bad
	Word  string // how it is: "answers", "3 records wait"
	Facts [][2]string
}

// health is what is wrong with the appliance, and how its parts are.
type health struct {
	Problems []string
	Checks   []Check
	Operator bool // may read the audit log
}

// calm reports whether nothing needs anybody.
func (h health) calm() bool {
	bad := func(c Check) bool { return !c.Good && !c.Off }
	return len(h.Problems) == 0 && !slices.ContainsFunc(h.Checks, bad)
}

func (u *UI) health(w http.ResponseWriter, r *http.Request) error {
	f := u.frame(r, "Health")
	f.Still = true
	return render(w, r, http.StatusOK, healthPage(f, u.healthView(r)))
}

// healthPart is what is read again while the page is open.
func (u *UI) healthPart(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, healthChecks(u.healthView(r)))
}

func (u *UI) healthView(r *http.Request) health {
	return health{Problems: u.Problems(), Checks: u.Checks(r.Context()), Operator: operator(r)}
}

// auditPage is how many entries a page has.
const auditPage = 100

// audit is a page of what people changed.
type audit struct {
	Object  string
	Entries []auditView
	Older   string // address; empty on the last page
	Newest  bool
}

// auditView is one change.
type auditView struct {
	At                   moment
	Who, Role, From      string
	Action, Object, Link string
	Name                 string // what a machine is called, or was then where it is gone; empty for anything else
	Before, After        string
}

func (u *UI) auditLog(w http.ResponseWriter, r *http.Request) error {
	typed := strings.TrimSpace(r.FormValue("object"))
	object := u.audited(r.Context(), cut(typed, 256))
	before, _ := strconv.ParseInt(r.FormValue("before"), 10, 64) // what cannot be read is the newest
	entries, err := u.Audit(r.Context(), object, max(0, before), auditPage)
	if err != nil {
		return err
	}
	a, now, names := audit{Object: typed, Newest: before <= 0}, time.Now(), u.namesIn(entries)
	for _, e := range entries {
		a.Entries = append(a.Entries, auditOf(e, names[e.Object], now))
	}
	if len(entries) == auditPage {
		a.Older = "/audit?object=" + url.QueryEscape(object) + "&before=" + strconv.FormatInt(entries[len(entries)-1].Seq, 10)
	}
	f := u.frame(r, "Audit")
	f.Still = true
	return render(w, r, http.StatusOK, auditPageOf(f, a))
}

// audited is the object that was typed: a machine, which may be named, by its ID. One that
// is gone, and what is no machine, is asked for as it is.
func (u *UI) audited(ctx context.Context, typed string) string {
	if typed == "" {
		return ""
	}
	if m, err := u.Records.Machine(ctx, typed); err == nil {
		return m.ID
	}
	return typed
}

// namesIn is what the machines of the entries are called, by ID. It asks memory only.
func (u *UI) namesIn(entries []registry.AuditEntry) map[string]string {
	names := map[string]string{}
	var ids []string
	for _, e := range entries {
		if isMachine(e) {
			ids = append(ids, e.Object)
		}
	}
	if len(ids) == 0 {
		return names // none named would be all
	}
	for _, g := range u.Machines.Glances(ids...) {
		names[g.ID] = g.Name
	}
	return names
}

func isMachine(e registry.AuditEntry) bool { return strings.HasPrefix(e.Object, "m-") }

// auditOf is the line of an entry. name is that of its machine, empty where it is gone.
func auditOf(e registry.AuditEntry, name string, now time.Time) auditView {
	v := auditView{At: moment{e.At, now}, Who: cmp.Or(e.Actor.Name, "Dragonfly"), Role: e.Actor.Role, From: e.Actor.From, Action: e.Action, Object: e.Object,
		Before: pretty(e.Before), After: pretty(e.After)}
	switch {
	case name != "":
		v.Name, v.Link = name, machinePath(e.Object)
	case isMachine(e):
		v.Name = cmp.Or(nameIn(e.After), nameIn(e.Before))
	case strings.HasPrefix(e.Object, "d-"):
		v.Link = "/deployments/" + url.PathEscape(e.Object)
	case strings.HasPrefix(e.Object, "os/") && e.Action != string(registry.OSDeleted):
		v.Link = "/systems/" + url.PathEscape(strings.TrimPrefix(e.Object, "os/"))
	}
	return v
}

// nameIn is the name in a record of a machine, if there is one.
func nameIn(raw json.RawMessage) string {
	var m struct{ Name string }
	_ = json.Unmarshal(raw, &m) // what cannot be read has none
	return m.Name
}

// pretty is a record as people read it.
func pretty(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var any any
	if json.Unmarshal(raw, &any) != nil {
		return string(raw)
	}
	text, err := json.MarshalIndent(any, "", "  ")
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// keepersPages are the pages for those who run the appliance.
func (u *UI) keepersPages() map[string]page {
	return map[string]page{"GET /health": u.health, "GET /health/part": u.healthPart, "GET /audit": u.auditLog}
}
