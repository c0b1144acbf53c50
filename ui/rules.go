package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// Rules is the rules on registration. *registry.Registry is one.
type Rules interface {
	Rules(ctx context.Context) (registry.RuleSet, error)
	// SetRules errs with a [*registry.ConflictError] where the set is at another version.
	SetRules(ctx context.Context, version int64, rules []registry.Rule) (registry.RuleSet, error)
	TryRules(ctx context.Context, rules []registry.Rule, about string) (registry.RulesTryout, error)
}

// rulesView is the page of the rules.
type rulesView struct {
	registry.RuleSet
	Admin  bool
	Tried  *registry.RulesTryout
	Faults faults
}

// version is the set's as a form names it: one that is not stored has a number too.
func (v rulesView) version() string { return strconv.FormatInt(versionOf(v.RuleSet), 10) }

func versionOf(set registry.RuleSet) int64 {
	if set.Version == 0 {
		return registry.Unstored
	}
	return set.Version
}

func (u *UI) ruleList(w http.ResponseWriter, r *http.Request) error {
	return u.showRules(w, r, nil, http.StatusOK)
}

func (u *UI) showRules(w http.ResponseWriter, r *http.Request, wrong faults, status int) error {
	set, err := u.Rules.Rules(r.Context())
	if err != nil {
		return err
	}
	v := rulesView{RuleSet: set, Admin: admin(r), Faults: wrong}
	if r.FormValue("try") != "" {
		tried, err := u.Rules.TryRules(r.Context(), set.Rules, "")
		if err != nil {
			return err
		}
		v.Tried = &tried
	}
	return render(w, r, status, rulesPage(u.settingsFrame(r, "Rules"), v))
}

// ruleAt is the rule that is called so; at is -1 where there is none.
func ruleAt(set registry.RuleSet, name string) (at int) {
	return slices.IndexFunc(set.Rules, func(rule registry.Rule) bool { return rule.Name == name })
}

func noRule(name string) error {
	return &httpError{status: http.StatusNotFound, detail: fmt.Sprintf("There is no rule %q; somebody may have renamed or deleted it. The list has those there are.", cut(name, 60))}
}

// arrangeRule moves a rule up or down, or switches it on or off.
func (u *UI) arrangeRule(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	set, err := u.Rules.Rules(r.Context())
	if err != nil {
		return err
	}
	at := ruleAt(set, r.PostFormValue("name"))
	if at < 0 {
		return noRule(r.PostFormValue("name"))
	}
	rules, ok := arranged(set.Rules, at, r.PostFormValue("do"))
	if !ok {
		return &httpError{status: http.StatusBadRequest, detail: "The form does not say what to do with the rule. Open the list of rules again."}
	}
	return u.storeRules(w, r, rules)
}

// arranged is rules with what do says done to the one at a position.
func arranged(rules []registry.Rule, at int, do string) (out []registry.Rule, ok bool) {
	out = slices.Clone(rules)
	switch do {
	case "up":
		to := max(0, at-1)
		out[at], out[to] = out[to], out[at]
	case "down":
		to := min(len(out)-1, at+1)
		out[at], out[to] = out[to], out[at]
	case "on", "off":
		out[at].Disabled = do == "off"
	default:
		return nil, false
	}
	return out, true
}

// storeRules keeps rules over those of the version that the form has read, and goes back
// to their list. Where they are at another version by now, nothing is kept, and the list
// says so.
func (u *UI) storeRules(w http.ResponseWriter, r *http.Request, rules []registry.Rule) error {
	version, err := strconv.ParseInt(r.PostFormValue("version"), 10, 64)
	if err != nil || version == registry.AnyVersion {
		return &httpError{status: http.StatusBadRequest, detail: "The form lacks the version of the rules, so nothing was changed. Open the list of rules again."}
	}
	if _, err = u.Rules.SetRules(r.Context(), version, rules); err == nil {
		http.Redirect(w, r, "/settings/rules", http.StatusSeeOther)
		return nil
	}
	status, text := refusal(err)
	if status != http.StatusConflict {
		return err
	}
	return u.showRules(w, r, faults{"": {"Somebody changed the rules meanwhile, so nothing was done. These are the rules as they are now. " + text}}, status)
}

func (u *UI) askDeleteRule(w http.ResponseWriter, r *http.Request) error {
	set, err := u.Rules.Rules(r.Context())
	if err != nil {
		return err
	}
	name := r.FormValue("name")
	if ruleAt(set, name) < 0 {
		return noRule(name)
	}
	return render(w, r, http.StatusOK, confirmation(u.settingsFrame(r, "Delete a rule?"), question{
		Title: "Delete the rule " + name + "?", Yes: "Delete " + name, Back: "/settings/rules", Action: rulePath("delete", name), Version: versionOf(set),
		Text: "Machines that register from now on are not given what it sets. Those that have registered keep it."}))
}

func (u *UI) deleteRule(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	set, err := u.Rules.Rules(r.Context())
	if err != nil {
		return err
	}
	at := ruleAt(set, r.FormValue("name"))
	if at < 0 {
		return noRule(r.FormValue("name"))
	}
	return u.storeRules(w, r, slices.Delete(slices.Clone(set.Rules), at, at+1))
}

// rulePath is the page that does something with a rule.
func rulePath(do, name string) string {
	return "/settings/rules/" + do + "?name=" + url.QueryEscape(name)
}

// matches is what a machine must have for a rule, in words.
func matches(m registry.RuleMatch) string {
	var words []string
	for _, c := range [][2]string{{"vendor", m.Vendor}, {"model", m.Model}, {"serial", m.Serial}, {"MAC", m.MACPrefix}, {"subnet", m.Subnet}} {
		if c[1] != "" {
			words = append(words, c[0]+" "+c[1])
		}
	}
	if m.BMC != nil {
		words = append(words, map[bool]string{true: "has a BMC", false: "has no BMC"}[*m.BMC])
	}
	if len(words) == 0 {
		return "every machine"
	}
	return strings.Join(words, ", ")
}

// gives is what a rule sets, in words.
func gives(s registry.RuleSetTo) string {
	var words []string
	add := func(what, value string) {
		if value != "" {
			words = append(words, what+" "+value)
		}
	}
	add("name", s.NamePattern)
	add("tags", strings.Join(s.Tags, ", "))
	add("labels", strings.Join(strings.Fields(pairLines(s.Labels)), ", "))
	add("owner", s.Owner)
	add("OS", s.OS)
	switch {
	case s.AutoDeploy && s.Concurrency > 0:
		words = append(words, fmt.Sprintf("installed, %d at a time", s.Concurrency))
	case s.AutoDeploy:
		words = append(words, "installed at once")
	}
	return strings.Join(words, "; ")
}

// changeLine is a change of a machine, in words.
func changeLine(c registry.FieldChange) string {
	if c.Before == "" {
		return c.Field + ": " + c.After
	}
	return c.Field + ": " + c.Before + " becomes " + c.After
}
