package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// A template is tried before it is saved: what is wrong stands beside its line, and what
// it gives for a machine is what a deployment would carry out.
func TestTemplateInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	o := mine(registry.FirstBootNone)
	o.ID, o.Template = "tried", "version: \"0.1\"\nname: tried\ntasks:\n  - name: install\n    worker: \"{{.device_1}}\"\n    actions:\n      - name: stream\n        image: quay.io/tinkerbell/actions/image2disk\n        timeout: 600\n        environment:\n          IMG_URL: {{ .image_url }}\n          DEST_DISK: {{ .disk }}\n"
	if _, err := f.PutOS(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	try := func() {
		w.Do(chromedp.Click(chromedp.CSS("[value=try]")), chromedp.WaitVisible(chromedp.CSS("#tried")))
	}
	w.Do(chromedp.Navigate(f.url+"/systems/tried"), chromedp.SetValue(chromedp.CSS("#template"), strings.Replace(o.Template, "DEST_DISK", "DEST_DSIK", 1)))
	try()
	w.Says("#tried .wrong", "image2disk needs DEST_DISK in its environment")
	w.AccessibleHere()
	w.Do(chromedp.Click(chromedp.CSS("#tried .wrong a")))
	w.Wait(`document.activeElement.id === "template" && document.activeElement.selectionStart > 0`)
	w.Do(chromedp.SetValue(chromedp.CSS("#template"), strings.Replace(o.Template, "actions/image2disk", "actions/unheard-of", 1)))
	try()
	w.Says("#tried .note.bad", `action "stream":`)
	w.Do(chromedp.SetValue(chromedp.CSS("#template"), "tinkerbell:mine"))
	try()
	w.Says("#tried .note.bad", "Tinkerbell is not set up here")
	w.Do(chromedp.SetValue(chromedp.CSS("#template"), o.Template), chromedp.SetValue(chromedp.CSS("#machine"), "nobody"), chromedp.Click(chromedp.CSS("[value=try]")), chromedp.WaitVisible(chromedp.CSS("#machine-why")))
	w.Do(chromedp.SetValue(chromedp.CSS("#machine"), f.m.Name))
	try()
	w.Says("#tried", "Nothing is wrong with it")
	w.AccessibleHere()
	reply, err := f.Deploy(t.Context(), f.m.ID, registry.DeployRequest{OS: "tried"}, true)
	if err != nil || reply.Plan.Template == "" {
		t.Fatalf("%+v, %v", reply, err)
	}
	w.Wait(fmt.Sprintf(`document.querySelector("#tried .rendered").textContent === %q`, reply.Plan.Template))
	stored, err := f.OS(t.Context(), "tried")
	if err != nil || stored.Revision != 1 {
		t.Errorf("trying it kept %+v, %v", stored, err)
	}
}

// All of an operating system is seen and written as YAML: what is wrong is said with its
// line, and what was typed stays.
func TestYAMLInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/systems/mine-cloud-init?as=yaml"))
	w.Wait(`document.querySelector("#yaml").value.includes("timezone: Europe/Vienna")`)
	w.Clean(f.url)
	w.Eval(`const text = document.querySelector("#yaml"); text.value = text.value.replace("Europe/Vienna", "Europe/Rome").replace("first_boot", "frist_boot")`)
	w.Do(chromedp.Click(chromedp.CSS("form .btn-primary")), chromedp.WaitVisible(chromedp.CSS("#yaml-why")))
	w.Says("#yaml-why", "field frist_boot not found")
	w.AccessibleHere()
	w.Eval(`const text = document.querySelector("#yaml"); text.value = text.value.replace("frist_boot", "first_boot")`)
	w.Do(chromedp.Click(chromedp.CSS("form .btn-primary")), chromedp.WaitVisible(chromedp.CSS("#systems")))
	if o, err := f.OS(t.Context(), "mine-cloud-init"); err != nil || o.Seed.Timezone != "Europe/Rome" || len(o.TagSeeds) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
}
