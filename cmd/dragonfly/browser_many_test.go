package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

// hall is an office with n machines more, each with a blank disk; their names in order.
func hall(t *testing.T, n byte) (*office, []string) {
	t.Helper()
	f := newOffice(t)
	names := []string{f.m.Name}
	for i := range n {
		_, m := f.rack(t, i+2, 100e9)
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return f, names
}

func stroke(w *uitest.Window, key string) {
	w.Eval(fmt.Sprintf("(document.activeElement ?? document).dispatchEvent(new KeyboardEvent('keydown', {key: %q, bubbles: true}))", key))
}

func counts(w *uitest.Window, selector string, n int) {
	w.Wait(fmt.Sprintf("document.querySelectorAll(%q).length === %d", selector, n))
}

// Some machines are chosen by keys and by hand, on several pages, and stay so whatever
// the server sends; what is done to them is seen before, and who does not qualify and why.
func TestManyInBrowser(t *testing.T) {
	f, names := hall(t, 54)
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	stroke(w, "j")
	stroke(w, "x")
	for range 3 {
		stroke(w, "j")
	}
	stroke(w, "X")
	w.Says("#chosen", "4 chosen")
	w.Says("[data-choose=all]", "All 55 that match")
	f.run(t, "", "machine", "tag", names[1], "old") // its row is sent anew
	w.Do(chromedp.Navigate(f.url+"/machines?after="+names[49]), chromedp.WaitVisible(chromedp.CSS("#chosen")),
		chromedp.Click(chromedp.CSS(".pick input[name=machine]")))
	w.Says("#chosen", "5 chosen")

	f.run(t, "", "machine", "lock", names[2], "--note", "mine")
	w.Do(chromedp.Click(chromedp.CSS("[value=retire]")), chromedp.WaitVisible(chromedp.CSS(".group")))
	w.Says("main", "4 machines would be retired")
	w.Says("main", "1 machine would not")
	w.Says(".group.bad", names[2])
	w.AccessibleHere()
	w.Do(chromedp.Click(chromedp.CSS("[name=go][value=yes]")), chromedp.WaitVisible(chromedp.CSS(".card.wide")))
	w.AccessibleHere()
	w.Says("h1", "4 machines retired")
	w.Says(".group.bad", names[2])
	for i, name := range []string{names[0], names[1], names[2], names[3], names[50]} {
		if m, err := f.Machine(t.Context(), name); err != nil || (m.State == registry.Retired) != (i != 2) {
			t.Errorf("%s is %s, %v", name, m.State, err)
		}
	}
	w.Clean(f.url)
}

// All that match a filter are chosen, but one; a machine that is tagged does not match
// any more, is marked, and leaves, also in the browser of somebody else.
func TestAllThatMatchInBrowser(t *testing.T) {
	f, names := hall(t, 54)
	w, other := uitest.New(t), uitest.New(t)
	other.Do(chromedp.Navigate(f.url+"/machines?q=-tag:new"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	other.Says(".pulse", "Live")
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")), chromedp.SendKeys(chromedp.CSS("#q"), "-tag:new"))
	w.Wait(`document.querySelector("#list").dataset.filter === "-tag:new"`)
	w.Do(chromedp.Click(chromedp.CSS(".pick input[name=machine]")), chromedp.Click(chromedp.CSS("[data-choose=all]")))
	w.Says("#chosen", "55 chosen")
	counts(w, ".pick input[name=machine]:checked", 50)
	w.Do(chromedp.Click(chromedp.CSS(".pick input[name=machine]")))
	w.Says("#chosen", "54 chosen")
	w.Do(chromedp.Click(chromedp.CSS("[value=tag]")), chromedp.WaitVisible(chromedp.CSS("#tags")), chromedp.SetValue(chromedp.CSS("#tags"), "no way, <b>"),
		chromedp.Click(chromedp.CSS("[name=go][value=yes]")), chromedp.WaitVisible(chromedp.CSS("#tags-why")))
	w.Says("main", "54 machines would be tagged")
	w.Do(chromedp.SetValue(chromedp.CSS("#tags"), "new"), chromedp.Click(chromedp.CSS("[name=go][value=yes]")), chromedp.WaitVisible(chromedp.CSS(".card.wide")))
	w.Says("h1", "54 machines tagged")
	counts(other, ".machines tbody tr", 1)
	other.Says(".machines tbody", names[0])

	w.Do(chromedp.Navigate(f.url+"/machines?q=tag:new"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	w.Says(".pulse", "Live")
	m, err := f.Machine(t.Context(), names[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Edit(t.Context(), m.ID, api.PatchRequest{RemoveTags: []string{"new"}}); err != nil {
		t.Fatal(err)
	}
	w.Says("#"+m.ID, "does not match any more")
	w.Wait(fmt.Sprintf("!document.getElementById(%q)", m.ID))
	f.run(t, "", "machine", "tag", names[0], "new") // one that is not on the page comes
	w.Says(".machines tbody", names[0])
}

// Many machines are deployed once it was seen what is lost, and said that it may be.
func TestDeployManyInBrowser(t *testing.T) {
	f, names := hall(t, 2)
	foreign := registry.Disk{Name: "sda", Serial: "S9", Model: "ACME", Bytes: 100e9, Contents: registry.Foreign, Found: []registry.Signature{{On: "sda1", Type: "ext4", Label: "photos"}}}
	_, m := f.rackWith(t, 9, foreign)
	foreign.Serial, foreign.Contents, foreign.Found = "S8", registry.Member, []registry.Signature{{On: "sda", Type: "linux_raid_member", Label: "md0"}}
	_, member := f.rackWith(t, 8, foreign)
	f.run(t, "", "machine", "lock", names[0], "--note", "mine")
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".machines")))
	stroke(w, "a")
	stroke(w, "d")
	w.Do(chromedp.WaitVisible(chromedp.CSS("#at_once")), chromedp.SetValue(chromedp.CSS("#os"), "mine-none"), chromedp.SetValue(chromedp.CSS("#at_once"), "many"),
		chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("#at_once-why")),
		chromedp.SetValue(chromedp.CSS("#at_once"), "1"), chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitVisible(chromedp.CSS("#typed")))
	w.Says(".parts", "photos")
	w.Says(".parts", "md0")
	w.Says(".group.bad", names[0])
	w.Says("main", "Deploy to 4 machines")
	w.AccessibleHere()
	w.Do(chromedp.Click(chromedp.CSS("[value=order]")), chromedp.WaitVisible(chromedp.CSS("#typed-why")))
	f.run(t, "", "machine", "retire", member.Name) // what was shown is not what would be done
	w.Do(chromedp.SetValue(chromedp.CSS("#typed"), "erase 2"), chromedp.Click(chromedp.CSS("[value=order]")), chromedp.WaitVisible(chromedp.CSS("[id='-why']")))
	w.Says(".fault", "has changed since it was shown")
	f.run(t, "", "machine", "restore", member.Name)
	w.Do(chromedp.Click(chromedp.CSS("[value=check]")), chromedp.WaitNotPresent(chromedp.CSS("[id='-why']")))
	w.Says("main", "Deploy to 4 machines")
	w.Do(chromedp.SetValue(chromedp.CSS("#typed"), "erase 2"), chromedp.Click(chromedp.CSS("[value=order]")), chromedp.WaitVisible(chromedp.CSS(".card.wide a.btn")))
	w.Says("h1", "4 machines to be installed")
	w.AccessibleHere()
	w.Says(".group.bad", names[0])
	all, _, err := f.Deployments(t.Context(), api.DeploymentSelection{}, "", 100)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d deployments, %v", len(all), err)
	}
	if under := slices.DeleteFunc(all, func(d api.Deployment) bool { return d.State == registry.DeploymentPending }); len(under) != 1 {
		t.Errorf("%d are under way at once", len(under))
	}
	w.Do(chromedp.Navigate(f.url + "/machines/" + m.ID))
	w.Says("main", "install mine-none")
}

// The list is grouped, shows the columns somebody wants in their order, in the next
// browser too, is kept by a name, and the filter box says how it may go on.
func TestListIsArrangedInBrowser(t *testing.T) {
	f, names := hall(t, 3)
	f.run(t, "", "machine", "edit", names[0], "--label", "rack=a1")
	f.run(t, "", "machine", "edit", names[1], "--label", "rack=a1")
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.SendKeys(chromedp.CSS("#q"), "label.ra"))
	w.Wait(`document.querySelector("#hints option")?.value === "label.rack:"`)
	w.Do(chromedp.SendKeys(chromedp.CSS("#q"), "ck:"))
	w.Wait(`document.querySelector("#hints option")?.value === "label.rack:a1" && document.querySelector("#hints option").textContent === "2 machines"`)

	w.Do(chromedp.Navigate(f.url+"/machines?group=label.rack"), chromedp.WaitVisible(chromedp.CSS(".group-head")))
	counts(w, ".group-head", 2)
	w.Do(chromedp.Click(chromedp.CSS(".group-head a")), chromedp.WaitVisible(chromedp.CSS("[aria-expanded=true]")))
	counts(w, ".machines tr[id]", 2)
	w.Says(".machines", names[0])
	w.Do(chromedp.Navigate(f.url+"/machines?group=label.rack&open=%3D"), chromedp.WaitVisible(chromedp.CSS("[aria-expanded=true]")))
	counts(w, ".machines tr[id]", 2)
	w.Says(".machines", names[2])

	w.Do(chromedp.Navigate(f.url+"/machines?q=state:ready"), chromedp.Click(chromedp.CSS("[title='Choose the columns']")))
	w.Eval(`for (const box of document.querySelectorAll(".order input")) box.checked = box.value === "labels" || box.value === "state"`)
	w.Eval(`for (let i = 0; i < 12; i++) document.querySelector(".order [value=labels]").closest("li").querySelector("button").click()`)
	w.Do(chromedp.Click(chromedp.CSS("form[action$=columns] .btn-primary")), chromedp.WaitVisible(chromedp.CSS(".c-labels")))
	w.Wait(`location.search === "?cols=labels%2Cstate&q=state%3Aready"`)
	w.Wait(`[...document.querySelectorAll(".machines thead th")].map((th) => th.className).join() === "pick,c-name,c-labels,c-state"`)
	w.Says(".machines tbody", "rack=a1")
	w.Do(chromedp.Click(chromedp.CSS("[title='Lists that you keep']")), chromedp.SetValue(chromedp.CSS("#view-name"), "<b>Mine</b>"), chromedp.Click(chromedp.CSS("form[action$=views] .btn-primary")), chromedp.WaitReady(chromedp.CSS("form[action$=views] li")))
	w.Says("form[action$=views]", "<b>Mine</b>")

	other := uitest.New(t)
	other.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/machines"), chromedp.WaitVisible(chromedp.CSS(".c-labels")), chromedp.Click(chromedp.CSS("[title='Lists that you keep']")),
		chromedp.Click(chromedp.CSS("form[action$=views] li a")), chromedp.WaitVisible(chromedp.CSS("#q[value]:not([value=''])")))
	other.Wait(`document.querySelector("#q").value === "state:ready"`)
	f.run(t, "", "machine", "edit", names[0], "--label", "rack=b7")
	other.Says(".machines tbody", "rack=b7")
	other.Clean(f.url)
	w.Clean(f.url)
}

// How deployments went is seen at a glance, how long they took in a chart and a table,
// and a log is searched, and followed to its end.
func TestRunsInBrowser(t *testing.T) {
	f := newOffice(t)
	for range 2 {
		d := f.ask(t, registry.FirstBootNone)
		f.agent, f.m = f.rack(t, 1, 100e9)
		work := f.claim(t, "boot-0001")
		f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning, Lines: []string{"the disk is sound"}}, "continue")
		f.carryOut(t, work)
		f.serves(t, "deployed: boot its own disk for the first time")
		f.becomes(t, d.ID, registry.DeploymentSucceeded)
	}
	d := f.ask(t, registry.FirstBootNone)
	f.agent, f.m = f.rack(t, 1, 100e9)
	work := f.claim(t, "boot-0001")
	var lines []string
	for n := range 400 {
		lines = append(lines, fmt.Sprintf("block %d is written", n))
	}
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning, Lines: lines}, "continue")
	w := uitest.New(t)
	w.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(f.url+"/deployments"), chromedp.WaitVisible(chromedp.CSS(".last")))
	counts(w, ".last [data-run=succeeded]", 2)
	w.Says("#deployments", "The last 3 deployments: 1 running, 2 succeeded.")
	w.Do(chromedp.Navigate(f.url+"/deployments?show=durations"), chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
	w.Says(".parts", "mine-none")
	w.Do(chromedp.Navigate(f.url+"/deployments/"+d.ID), chromedp.WaitVisible(chromedp.CSS(".log")))
	w.Says(".pulse", "Live")
	f.tell(t, api.ReportRequest{Deployment: work.Deployment, Attempt: work.Attempt, State: registry.ActionRunning, LinesFrom: len(lines), Lines: []string{"and that was all"}}, "continue")
	w.Says(".log", "and that was all")
	w.Wait(`(() => { const log = document.querySelector(".log"); return log.scrollHeight > log.clientHeight && log.scrollTop + log.clientHeight > log.scrollHeight - 3 })()`)
	w.Do(chromedp.SetValue(chromedp.CSS("#find"), "BLOCK 39"), chromedp.Submit(chromedp.CSS("#find")), chromedp.WaitVisible(chromedp.CSS("#find[value='BLOCK 39']")))
	counts(w, ".log li", 11)
	w.Clean(f.url)
}
