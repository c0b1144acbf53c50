package ui

import (
	"cmp"
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
	Before, After        string
}

func (u *UI) auditLog(w http.ResponseWriter, r *http.Request) error {
	object := strings.TrimSpace(r.FormValue("object"))
	before, _ := strconv.ParseInt(r.FormValue("before"), 10, 64) // what cannot be read is the newest
	entries, err := u.Audit(r.Context(), cut(object, 256), max(0, before), auditPage)
	if err != nil {
		return err
	}
	a, now := audit{Object: object, Newest: before <= 0}, time.Now()
	for _, e := range entries {
		a.Entries = append(a.Entries, auditOf(e, now))
	}
	if len(entries) == auditPage {
		a.Older = "/audit?object=" + url.QueryEscape(object) + "&before=" + strconv.FormatInt(entries[len(entries)-1].Seq, 10)
	}
	f := u.frame(r, "Audit")
	f.Still = true
	return render(w, r, http.StatusOK, auditPageOf(f, a))
}

func auditOf(e registry.AuditEntry, now time.Time) auditView {
	v := auditView{At: moment{e.At, now}, Who: cmp.Or(e.Actor.Name, "Dragonfly"), Role: e.Actor.Role, From: e.Actor.From, Action: e.Action, Object: e.Object,
		Before: pretty(e.Before), After: pretty(e.After)}
	switch {
	case strings.HasPrefix(e.Object, "m-"):
		v.Link = "/machines/" + url.PathEscape(e.Object)
	case strings.HasPrefix(e.Object, "d-"):
		v.Link = "/deployments/" + url.PathEscape(e.Object)
	case strings.HasPrefix(e.Object, "os/") && e.Action != string(registry.OSDeleted):
		v.Link = "/systems/" + url.PathEscape(strings.TrimPrefix(e.Object, "os/"))
	}
	return v
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
