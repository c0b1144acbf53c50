package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// An operator finds a machine, reads which disk would be overwritten, deploys, and
// follows it to the first boot, in a browser, at the real server.
func TestDeployInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/machines"), chromedp.Click(chromedp.CSS("#"+f.m.ID+" th a")), chromedp.WaitVisible(chromedp.CSS("#machine")))
	w.Says("h1", f.m.Name)
	w.Do(chromedp.Click(chromedp.CSS("a.btn-primary")), chromedp.SetValue(chromedp.CSS("#os"), "mine-cloud-init"),
		chromedp.SetValue(chromedp.CSS("#keys"), "no key"), chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("#keys-why")))
	w.Says("#keys-why", "no key")
	w.Do(chromedp.SetValue(chromedp.CSS("#keys"), f.key), chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("[value=order]")))
	w.Wait(`scrollY > 0 && document.querySelector("#plan").getBoundingClientRect().top < innerHeight / 2`) // it is below the form
	w.Says(".order", "sda 100 GB ACME S1")
	w.Eval(`document.querySelector("#net").closest("details").open = true`)
	w.Do(chromedp.SetValue(chromedp.CSS("#net"), "static"), chromedp.SetValue(chromedp.CSS("#addresses"), "10.9.0.17"), chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("#net-why")))
	w.Says("#net-why", "10.0.0.17/24")
	w.Do(chromedp.SetValue(chromedp.CSS("#addresses"), "10.9.0.17/24"), chromedp.SetValue(chromedp.CSS("#vlan"), "42"), chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("[value=order]")))
	w.Wait(`document.querySelector(".rendered").textContent.includes("10.9.0.17/24") && document.querySelector(".rendered").textContent.includes("lan0.42")`)
	w.Do(chromedp.SendKeys(chromedp.CSS("#hostname"), "n"), chromedp.WaitVisible(chromedp.CSS("[value=order]:disabled")), // that was not shown
		chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("[value=order]:enabled")))
	w.Do(chromedp.Click(chromedp.CSS("[value=order]")), chromedp.WaitVisible(chromedp.CSS("#deployment")))
	w.Says("#deployment", "waiting for the machine to boot")

	work := f.claim(t, "boot-0001")
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning, Wrote: true,
		Progress: &registry.Progress{Done: 500e6, Total: 1000e6, Rate: 100e6}, Lines: []string{"half of it <b>"}}, "continue")
	w.Says("#deployment progress", "%")
	w.Says("#deployment", "500 MB of 1 GB, 100 MB/s")
	w.Says(".log", "half of it <b>")
	f.carryOut(t, work)
	w.Says("#deployment", "waiting for the first boot")
	if status, body := f.post(t, between(work.Actions[1].Environment["CONTENTS"], "url: ", "\n"), url.Values{"hostname": {f.m.Name}}); status != http.StatusOK {
		t.Fatalf("phone home: %d %s", status, body)
	}
	w.Says("#deployment", "succeeded")
	w.Do(chromedp.Navigate(f.url + "/machines/" + f.m.ID))
	w.Says("#machine", "installed")
	w.Clean(f.url)
}

// What fails says why and can be tried again; what is on a disk is lost only once the
// machine's name was typed.
func TestFailureInBrowser(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootNone)
	work := f.claim(t, "boot-0001")
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/deployments/" + d.ID))
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionFailed, Wrote: true, Message: "the disk answers no more"}, "continue")
	w.Says("#deployment", "the disk answers no more")
	w.Do(chromedp.Click(chromedp.CSS("#deployment .actions a")), chromedp.WaitVisible(chromedp.CSS(".ask")))
	w.Says(".ask", "Overwrite the disk of "+f.m.Name)
	w.Do(chromedp.Click(chromedp.CSS(".ask button")), chromedp.WaitVisible(chromedp.CSS("#deployment")))
	w.Says("#deployment", "waiting for the machine to boot")
	w.Do(chromedp.Click(chromedp.CSS("#deployment .actions a")), chromedp.Click(chromedp.CSS(".ask button")), chromedp.WaitVisible(chromedp.CSS("#deployment")))
	w.Says("#deployment", "cancelled")

	_, foreign := f.rackWith(t, 2, registry.Disk{Name: "sda", Serial: "S2", Bytes: 100e9, Contents: registry.Foreign, Found: []registry.Signature{{On: "sda1", Type: "ext4", Label: "photos"}}})
	w.Do(chromedp.Navigate(f.url + "/machines/" + foreign.ID + "/deploy?os=wipe"))
	w.Says(".order", "photos")
	w.Do(chromedp.Click(chromedp.CSS("[value=order]")), chromedp.WaitVisible(chromedp.CSS("#typed-why")))
	if m, err := f.Machine(t.Context(), foreign.ID); err != nil || m.Deployment != "" {
		t.Errorf("deployed without a confirmation: %+v, %v", m, err)
	}
	w.Do(chromedp.SetValue(chromedp.CSS("#typed"), foreign.Name), chromedp.Click(chromedp.CSS("[value=order]")), chromedp.WaitVisible(chromedp.CSS("#deployment")))
	w.Says("#deployment", "waiting for the machine to boot")
}

// What was not shown is not ordered: neither another disk, nor another operating system,
// nor what has been found on the disk since.
func TestOnlyWhatWasShownIsOrdered(t *testing.T) {
	f := newOffice(t)
	_, m := f.rackWith(t, 2, registry.Disk{Name: "sda", Serial: "S2", Bytes: 100e9, Contents: registry.Blank}, registry.Disk{Name: "sdb", Serial: "S3", Bytes: 200e9, Contents: registry.Foreign})
	page := f.url + "/machines/" + m.ID + "/deploy"
	shown := func(form url.Values) string {
		t.Helper()
		status, body := f.post(t, page, form)
		if status != http.StatusOK {
			t.Fatalf("%v: %d %s", form, status, body)
		}
		return between(body, `name="seen" value="`, `"`)
	}
	first := url.Values{"os": {"mine-none"}}
	seen := shown(first)
	if again := shown(first); seen == "" || again != seen {
		t.Fatalf("shown as %q, and as %q", seen, again)
	}
	for _, c := range []struct{ what, os, disk, seen string }{
		{"another disk", "mine-none", "serial:S3", seen},
		{"another operating system", "mine-cloud-init", "", seen},
		{"a wipe", "wipe", "", seen},
		{"nothing was shown", "mine-none", "", ""},
	} {
		status, body := f.post(t, page, url.Values{"os": {c.os}, "disk": {c.disk}, "seen": {c.seen}, "typed": {m.Name}, "do": {"order"}})
		if status != http.StatusUnprocessableEntity || !strings.Contains(body, "has changed since it was shown") || strings.Contains(body, `name="typed" value="`+m.Name) {
			t.Errorf("%s: %d %s", c.what, status, body)
		}
		if m, err := f.Machine(t.Context(), m.ID); err != nil || m.Deployment != "" {
			t.Fatalf("%s: deployed %+v, %v", c.what, m, err)
		}
	}
	first.Set("do", "order")
	first.Set("seen", seen)
	if status, body := f.post(t, page, first); status != http.StatusOK || !strings.Contains(body, "waiting for the machine to boot") {
		t.Errorf("what was shown: %d %s", status, body)
	}
}

// What a machine boots once is asked for, refused beside the field, and given to it once.
func TestBootOnceInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/machines/"+f.m.ID), chromedp.Click(chromedp.CSS("a[href$=once]")), chromedp.WaitVisible(chromedp.CSS("#keys")),
		chromedp.Click(chromedp.CSS("button.btn-primary")), chromedp.WaitVisible(chromedp.CSS("#keys-why")))
	w.Says("#keys-why", "without a key nobody can sign in")
	w.Do(chromedp.Click(chromedp.CSS("[value=script]")), chromedp.SetValue(chromedp.CSS("#script"), "#!ipxe\necho hello\n"), chromedp.Click(chromedp.CSS("button.btn-primary")),
		chromedp.WaitVisible(chromedp.CSS("#deployment")))
	w.Says("#deployment", "waiting for the machine to boot")
	_, script := f.get(t, "/boot/"+f.mac+"/auto.ipxe?arch=bios")
	_, own, found := strings.Cut(script, "chain --autofree "+f.url)
	own, _, _ = strings.Cut(own, " ")
	if _, text := f.get(t, own); !found || !strings.Contains(text, "echo hello") {
		t.Errorf("the machine is given %q by %q", text, script)
	}
	w.Says("#deployment", "handed to iPXE")
	if _, script := f.get(t, "/boot/"+f.mac+"/auto.ipxe?arch=bios"); strings.Contains(script, "once.ipxe") {
		t.Errorf("the machine is given it once more: %q", script)
	}
	w.Says("#deployment", "succeeded")
}

// The list is narrowed while one types, sorted by its heads, and says where a filter
// is wrong; the address has it all.
func TestFilterInBrowser(t *testing.T) {
	f := newOffice(t)
	var names []string
	for n := byte(2); n < 5; n++ {
		_, m := f.rack(t, n, 100e9)
		names = append(names, m.Name)
	}
	f.run(t, "", "machine", "tag", names[0], "gpu")
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	press := func(key string) {
		w.Eval(fmt.Sprintf("document.dispatchEvent(new KeyboardEvent('keydown', {key: %q}))", key))
	}
	press("/")
	w.Wait(`document.activeElement.id === "q"`)
	w.Do(chromedp.SendKeys(chromedp.CSS("#q"), "tag:gpu"))
	w.Wait(`document.querySelectorAll(".machines tbody tr").length === 1`)
	w.Says(".machines tbody", names[0])
	w.Do(chromedp.SendKeys(chromedp.CSS("#q"), " stat:ready"))
	w.Says("#list [role=alert]", "at character 9: there is no field \"stat\"; did you mean state?")
	w.Do(chromedp.SetValue(chromedp.CSS("#q"), "SN-3"), chromedp.Submit(chromedp.CSS("#q")), chromedp.WaitVisible(chromedp.CSS("[value=SN-3]")))
	w.Wait(`location.search === "?q=SN-3" && document.querySelectorAll(".machines tbody tr").length === 1`)
	w.Do(chromedp.Navigate(f.url+"/machines"), chromedp.Click(chromedp.CSS("th[aria-sort] a")), chromedp.WaitVisible(chromedp.CSS("th[aria-sort=descending]")))
	w.Wait(`location.search === "?sort=-name"`)
	w.Says(".machines tbody tr", slices.Max(append(names, f.m.Name)))
	press("j")
	press("j")
	w.Wait(`document.activeElement === document.querySelectorAll(".machines tbody th a")[1]`)
	w.Do(chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("#machine")))
	w.Clean(f.url)
}

// What somebody else changed meanwhile is not overwritten unseen, and nothing that was
// typed is lost; a machine is retired only once that was said again.
func TestEditInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/machines/"+f.m.ID+"/edit"), chromedp.SetValue(chromedp.CSS("#name"), "Not A Name"), chromedp.SetValue(chromedp.CSS("#labels"), "rack"),
		chromedp.Click(chromedp.CSS(".btn-primary")), chromedp.WaitVisible(chromedp.CSS("#labels-why")), chromedp.WaitVisible(chromedp.CSS(".amiss [href='#labels-why']")), chromedp.SetValue(chromedp.CSS("#labels"), "rack=a1"),
		chromedp.Click(chromedp.CSS(".btn-primary")), chromedp.WaitVisible(chromedp.CSS("#name-why")), chromedp.SetValue(chromedp.CSS("#name"), "rack1-7"), chromedp.SetValue(chromedp.CSS("#tags"), "gpu, prod"))
	f.run(t, "", "machine", "edit", f.m.ID, "--owner", "ben")
	w.Do(chromedp.Click(chromedp.CSS(".btn-primary")), chromedp.WaitVisible(chromedp.CSS(".fault")))
	w.Says(".fault", "Somebody changed "+f.m.Name)
	w.Do(chromedp.SetValue(chromedp.CSS("#owner"), "ana"), chromedp.Click(chromedp.CSS(".btn-primary")), chromedp.WaitVisible(chromedp.CSS("#machine")))
	if m, err := f.Machine(t.Context(), "rack1-7"); err != nil || m.Owner != "ana" || m.Labels["rack"] != "a1" || !slices.Equal(m.Tags, []string{"gpu", "prod"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if status, body := f.post(t, f.url+"/machines/"+f.m.ID+"/edit", url.Values{"name": {"rack1-7"}, "version": {"3"}}); status != http.StatusBadRequest || !strings.Contains(body, "owner") {
		t.Errorf("a form without most of its fields: %d %s", status, body)
	}
	for _, end := range []string{"retire", "restore", "delete"} {
		w.Do(chromedp.Navigate(f.url+"/machines/"+f.m.ID+"/edit"), chromedp.Click(chromedp.CSS("a[href$="+end+"]")), chromedp.WaitVisible(chromedp.CSS(".ask")))
		w.Says(".ask", "rack1-7")
		if end == "retire" { // what was seen is not what is there
			f.run(t, "", "machine", "edit", f.m.ID, "--owner", "eve")
			w.Do(chromedp.Click(chromedp.CSS(".ask button")), chromedp.WaitVisible(chromedp.CSS(".ask [role=alert]")))
		}
		w.Do(chromedp.Click(chromedp.CSS(".ask button")), chromedp.WaitVisible(chromedp.CSS("#machine, #list")))
	}
	w.Do(chromedp.Navigate(f.url + "/machines/" + f.m.ID))
	w.Says("main", "There is no machine")
}

// A viewer is told that an operator may, and is refused.
func TestViewerInBrowser(t *testing.T) {
	f := newOffice(t)
	for _, role := range []string{"admin", "viewer"} {
		f.run(t, "correct horse battery\n", "user", "create", role, "--role", role, "--password-stdin")
	}
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/login"), chromedp.SetValue(chromedp.CSS("#name"), "viewer"), chromedp.SetValue(chromedp.CSS("#password"), "correct horse battery"),
		chromedp.Click(chromedp.CSS("button.btn-primary")), chromedp.WaitVisible(chromedp.CSS("#list")), chromedp.Navigate(f.url+"/machines/"+f.m.ID))
	w.Says(".actions", "You may look, and an operator may change it.")
	w.Wait(`!document.querySelector("a.btn-primary, .pop")`)
	w.Do(chromedp.Navigate(f.url + "/machines/" + f.m.ID + "/deploy"))
	w.Says("main", "403")
	w.Do(chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Says(".pulse", "Live")
	stroke(w, "j")
	stroke(w, "e")
	w.Says(".inline", "You may look at "+f.m.Name+", and an operator may change it.")
	w.Do(chromedp.Click(chromedp.CSS("[data-inline=leave]")), chromedp.WaitNotPresent(chromedp.CSS(".inline")), chromedp.Click(chromedp.CSS(".pick input[name=machine]")))
	w.Says("#chosen", "You may look, and an operator may change them.")
	w.Wait(`!document.querySelector("#chosen [name=do]")`)
}

// The pages of one machine and of deployments are for everybody, by day and by night,
// on a phone and on a desk.
func TestOperatorsPagesAreAccessible(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootCloudInit)
	work := f.claim(t, "boot-0001")
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning, Wrote: true,
		Progress: &registry.Progress{Done: 5, Total: 10, Rate: 1}, Lines: []string{"a line"}}, "continue")
	_, other := f.rack(t, 2, 100e9)
	machine := "/machines/" + f.m.ID
	w := uitest.New(t)
	for _, page := range []string{"/machines", "/machines?group=state&open=%3Dready&cols=tags,labels,os,note,bmc,known", machine, machine + "?tab=timeline", machine + "?tab=hardware", machine + "?tab=storage", machine + "?tab=network", machine + "?tab=configuration", machine + "?tab=deployments", machine + "?tab=boot",
		"/machines/" + other.ID + "/deploy?os=mine-cloud-init", "/machines/" + other.ID + "/once", machine + "/edit", machine + "/end/delete", "/deployments", "/deployments?show=durations", "/deployments/" + d.ID, "/deployments/" + d.ID + "/cancel"} {
		w.Accessible(f.url + page)
	}
}
