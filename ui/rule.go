package ui

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// ruleForm is the form of a rule.
type ruleForm struct {
	Was     string // what it is called in the set; empty: it is a new one
	Version string // of the set that was read
	Rule    registry.Rule
	BMC     string // "", "yes" or "no"
	AtOnce  string // how many are installed; empty: all
	Tags    string // with commas
	Labels  string // key=value, one a line
	Systems []choice
	Faults  faults
	Tried   *registry.RulesTryout
}

// ruleFields are the fields of the form that are no choice.
var ruleFields = []string{"version", "name", "vendor", "model", "serial", "mac_prefix", "subnet", "name_pattern", "tags", "labels", "owner", "os", "concurrency", "bmc"}

func (u *UI) ruleForm(w http.ResponseWriter, r *http.Request) error {
	set, err := u.Rules.Rules(r.Context())
	if err != nil {
		return err
	}
	f := ruleForm{Was: r.FormValue("name"), Version: strconv.FormatInt(versionOf(set), 10)}
	if f.Was != "" {
		at := ruleAt(set, f.Was)
		if at < 0 {
			return noRule(f.Was)
		}
		f.take(set.Rules[at])
	}
	return u.showRule(w, r, &f, http.StatusOK)
}

// take fills the form with a rule.
func (f *ruleForm) take(rule registry.Rule) {
	f.Rule, f.Tags, f.Labels = rule, strings.Join(rule.Set.Tags, ", "), pairLines(rule.Set.Labels)
	if rule.Set.Concurrency > 0 {
		f.AtOnce = strconv.Itoa(rule.Set.Concurrency)
	}
	if rule.Match.BMC != nil {
		f.BMC = map[bool]string{true: "yes", false: "no"}[*rule.Match.BMC]
	}
}

func (u *UI) showRule(w http.ResponseWriter, r *http.Request, f *ruleForm, status int) error {
	systems, err := u.Deployments.OSes(r.Context())
	if err != nil {
		return err
	}
	for _, s := range systems {
		f.Systems = append(f.Systems, choice{Value: s.ID, Text: s.Name})
	}
	if os := f.Rule.Set.OS; os != "" && !slices.ContainsFunc(f.Systems, func(c choice) bool { return c.Value == os }) {
		f.Systems = append(f.Systems, choice{Value: os, Text: os + ", which is not in the catalogue"})
	}
	title := "New rule"
	if f.Was != "" {
		title = "Rule " + f.Was
	}
	return render(w, r, status, rulePage(u.settingsFrame(r, title), *f))
}

// ruleIn is the form as it was sent.
func ruleIn(r *http.Request) (f ruleForm, err error) {
	for _, name := range ruleFields {
		if !r.PostForm.Has(name) { // it is not empty: nobody said so
			return f, &httpError{status: http.StatusBadRequest, detail: "The form lacks its field " + name + ", so nothing was changed. Open the page again."}
		}
	}
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	f = ruleForm{Was: r.FormValue("was"), Version: value("version"), BMC: value("bmc"), AtOnce: value("concurrency"), Tags: value("tags"), Labels: r.PostFormValue("labels"), Faults: faults{}}
	f.Rule = registry.Rule{Name: value("name"), Disabled: r.PostFormValue("enabled") == "",
		Match: registry.RuleMatch{Vendor: value("vendor"), Model: value("model"), Serial: value("serial"), MACPrefix: value("mac_prefix"), Subnet: value("subnet")},
		Set:   registry.RuleSetTo{NamePattern: value("name_pattern"), Owner: value("owner"), OS: value("os"), AutoDeploy: r.PostFormValue("auto_deploy") != "", Tags: tagsIn(f.Tags)}}
	if f.BMC != "" {
		has := f.BMC == "yes"
		f.Rule.Match.BMC = &has
	}
	if f.AtOnce != "" {
		if n, err := strconv.Atoi(f.AtOnce); err == nil && n > 0 {
			f.Rule.Set.Concurrency = n
		} else {
			f.Faults["concurrency"] = []string{"Want a number of machines, or nothing for all at once."}
		}
	}
	labels, wrong := pairs(f.Labels)
	if wrong != "" {
		f.Faults["labels"] = []string{fmt.Sprintf("%q is not of the form key=value.", cut(wrong, 60))}
	}
	f.Rule.Set.Labels = labels
	return f, nil
}

// keepRule checks what the form says, and keeps it where that was asked for. What is
// wrong stands beside its field, and nothing that was typed is lost.
func (u *UI) keepRule(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	f, err := ruleIn(r)
	if err != nil {
		return err
	}
	set, err := u.Rules.Rules(r.Context())
	if err != nil {
		return err
	}
	rules, at, err := f.into(set)
	if err != nil {
		return err
	}
	f.Faults.add((registry.RuleSet{Rules: rules}).Validate(), ruleField(at))
	if len(f.Faults) > 0 {
		return u.showRule(w, r, &f, http.StatusUnprocessableEntity)
	}
	if r.PostFormValue("do") == "try" {
		return u.tryRule(w, r, &f, rules, at)
	}
	version, err := strconv.ParseInt(f.Version, 10, 64)
	if err != nil || version == registry.AnyVersion {
		return &httpError{status: http.StatusBadRequest, detail: "The form lacks the version of the rules, so nothing was changed. Open the page again."}
	}
	if _, err = u.Rules.SetRules(r.Context(), version, rules); err == nil {
		http.Redirect(w, r, "/settings/rules", http.StatusSeeOther)
		return nil
	}
	return u.refuseRule(w, r, &f, at, err)
}

// into is the set with the rule of the form in it, and where it stands there.
func (f *ruleForm) into(set registry.RuleSet) (rules []registry.Rule, at int, err error) {
	rules = slices.Clone(set.Rules)
	if f.Was == "" {
		return append(rules, f.Rule), len(rules), nil
	}
	if at = ruleAt(set, f.Was); at < 0 {
		return nil, 0, noRule(f.Was)
	}
	rules[at] = f.Rule
	return rules, at, nil
}

// tryRule shows what the rule, among the others, would make of the machines there are;
// also of one that is disabled, or nobody could try it before.
func (u *UI) tryRule(w http.ResponseWriter, r *http.Request, f *ruleForm, rules []registry.Rule, at int) error {
	rules[at].Disabled = false
	tried, err := u.Rules.TryRules(r.Context(), rules, f.Rule.Name)
	if err != nil {
		return u.refuseRule(w, r, f, at, err)
	}
	f.Tried = &tried
	return u.showRule(w, r, f, http.StatusOK)
}

// refuseRule shows the form again, with what is wrong.
func (u *UI) refuseRule(w http.ResponseWriter, r *http.Request, f *ruleForm, at int, err error) error {
	if f.Faults = faultsOf(err, ruleField(at)); f.Faults == nil {
		return err
	}
	if lost, ok := errors.AsType[*registry.ConflictError](err); ok && lost.Stored != 0 {
		f.Version = strconv.FormatInt(lost.Stored, 10)
		f.Faults = faults{"": {"Somebody changed the rules meanwhile. What you typed is still here; look at the list in another tab, and save again to put it among them."}}
	}
	status, _ := refusal(err)
	return u.showRule(w, r, f, status)
}

// ruleField is the field that a pointer of the rule at a position belongs to; what is
// wrong with another rule belongs to none.
func ruleField(at int) func(pointer string) string {
	return func(pointer string) string {
		field, own := strings.CutPrefix(pointer, fmt.Sprintf("/rules/%d/", at))
		if !own {
			return ""
		}
		field = strings.TrimPrefix(strings.TrimPrefix(field, "match/"), "set/")
		field, _, _ = strings.Cut(field, "/")
		if field == "set" || field == "auto_deploy" || slices.Contains(ruleFields, field) {
			return field
		}
		return ""
	}
}
