package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/ui/uitest"
)

// rulePress presses a button of a form of the rules.
func rulePress(value string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS("main button[value=" + value + "]"))
}

// What is wrong with a rule stands beside each of its fields, and what was typed stays.
func TestWrongRuleInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/settings/rules/edit"), fill("name", "all <b>"), fill("subnet", "192.0.2.1/24"), fill("labels", "rack"), fill("concurrency", "few"), chromedp.Click(chromedp.CSS("[name=auto_deploy]")), rulePress("save"), chromedp.WaitVisible(chromedp.CSS("#labels-why")))
	w.Says("#name-why", "markup is not accepted")
	w.Says("#labels-why", `"rack" is not of the form key=value`)
	w.Says("#subnet-why", "did you mean 192.0.2.0/24?")
	w.Says("#auto_deploy-why", "want os beside it")
	w.Says("#concurrency-why", "Want a number of machines")
	w.Wait(`document.querySelector("#name").value === "all <b>" && document.querySelector("#labels").value === "rack"`)
	if set, err := f.Rules(t.Context()); err != nil || len(set.Rules) != 0 {
		t.Errorf("it was kept: %+v, %v", set, err)
	}
	w.AccessibleHere()
}

// A rule is added, tried on the machines there are, put into
// its place, switched off and deleted; and what somebody else changed is not lost.
func TestRulesInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/settings/rules"))
	w.Says("main", "There is no rule yet")
	w.Do(chromedp.Navigate(f.url + "/settings/rules/edit"))
	w.Do(fill("name", "all of it"), fill("tags", "gpu, prod"), fill("name_pattern", "rack1-{n:3}"), rulePress("try"), chromedp.WaitVisible(chromedp.CSS("#outcome")))
	w.Says("#outcome", "1 machine of 1 match")
	w.Says("#outcome", "name: "+f.m.Name+" becomes rack1-001")
	w.Says("#outcome", "tag: gpu")
	w.Do(rulePress("save"), chromedp.WaitVisible(chromedp.CSS("table")))
	w.Says("tbody", "all of it")
	w.Do(chromedp.Navigate(f.url+"/settings/rules/edit"), fill("name", "second"), fill("serial", "SN-9*"), fill("owner", "lab"), rulePress("save"))
	w.Says("tbody tr:nth-child(2)", "second")
	w.Do(chromedp.Click(chromedp.CSS("tbody tr:nth-child(2) [value=up]")))
	w.Says("tbody tr:nth-child(1)", "second")
	w.Do(chromedp.Click(chromedp.CSS("tbody tr:nth-child(1) [value=off]")), chromedp.WaitVisible(chromedp.CSS("[value=on]")))
	set, err := f.Rules(t.Context())
	if err != nil || len(set.Rules) != 2 || !set.Rules[0].Disabled || set.Rules[1].Name != "all of it" || set.Rules[1].Set.NamePattern != "rack1-{n:3}" {
		t.Fatalf("%+v, %v", set, err)
	}
	if m, err := f.Machine(t.Context(), f.m.ID); err != nil || m.Name != f.m.Name || len(m.Tags) != 0 {
		t.Errorf("a machine that has registered was changed: %+v, %v", m, err)
	}
	stale := url.Values{"version": {fmt.Sprint(set.Version - 1)}, "name": {"second"}, "do": {"on"}}
	if status, body := f.post(t, f.url+"/settings/rules", stale); status != http.StatusConflict || !strings.Contains(body, "Somebody changed the rules meanwhile") {
		t.Errorf("over what somebody else did: %d %s", status, body)
	}
	for _, c := range []struct {
		path   string
		form   url.Values
		status int
	}{
		{"/settings/rules", url.Values{"name": {"second"}, "do": {"on"}}, 400}, {"/settings/rules", url.Values{"name": {"none"}, "do": {"on"}, "version": {"1"}}, 404},
		{"/settings/rules", url.Values{"name": {"second"}, "do": {"jump"}, "version": {"1"}}, 400}, {"/settings/rules/edit", url.Values{"name": {"x"}}, 400},
		{"/settings/rules/delete", url.Values{"name": {"none"}}, 404},
	} {
		if status, body := f.post(t, f.url+c.path, c.form); status != c.status {
			t.Errorf("%s %v: %d %s", c.path, c.form, status, body)
		}
	}
	w.Accessible(f.url+"/settings/rules?try=1", f.url+"/settings/rules/edit?name=second")
	w.Do(chromedp.Navigate(f.url+"/settings/rules/delete?name=second"), submit(".ask"), chromedp.WaitVisible(chromedp.CSS("table")))
	w.Wait(`!document.querySelector("tbody").textContent.includes("second")`)
	w.Clean(f.url)
}
