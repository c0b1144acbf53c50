package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// An operator adds an operating system in a browser: what is wrong stands beside its
// field and what was typed stays; whether an image is here is seen.
func TestSystemsInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/systems"))
	w.Says("#systems", "mine-cloud-init")
	w.Says("[data-lamp=local]", "amd64: local")
	w.Says("[data-lamp=missing]", "amd64: missing")
	w.Do(chromedp.Click(chromedp.CSS("a.btn-primary")), chromedp.SetValue(chromedp.CSS("#id"), "Not An ID"), chromedp.SetValue(chromedp.CSS("#name"), "<b>Hostile</b>"),
		chromedp.SetValue(chromedp.CSS("#sha256_amd64"), sumText(rawDisk())), chromedp.SetValue(chromedp.CSS("#min_disk"), "2.5"), chromedp.Click(chromedp.CSS("form.order .btn-primary")),
		chromedp.WaitVisible(chromedp.CSS("#id-why")))
	w.Says("#id-why", "want lower-case letters")
	w.Says("#name-why", "markup is not accepted")
	w.Wait(`document.querySelector("#name").value === "<b>Hostile</b>"`)
	w.Do(chromedp.SetValue(chromedp.CSS("#id"), "added"), chromedp.SetValue(chromedp.CSS("#name"), "Hospitable"), chromedp.Click(chromedp.CSS("form.order .btn-primary")), chromedp.WaitVisible(chromedp.CSS("#systems")))
	w.Says("#systems", "Hospitable")
	o, err := f.OS(t.Context(), "added")
	if err != nil || o.MinDisk != 2.5e9 || o.FirstBoot != registry.FirstBootCloudInit {
		t.Errorf("added %+v, %v", o, err)
	}
	w.Do(chromedp.Navigate(f.url+"/systems/added/delete"), chromedp.Click(chromedp.CSS(".ask .btn-danger")), chromedp.WaitVisible(chromedp.CSS("#systems")))
	w.Wait(`!document.querySelector("#systems").textContent.includes("Hospitable")`)
}

// The pages for those who run the appliance are for everybody.
func TestKeepersPagesAreAccessible(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	for _, page := range keepersPages {
		w.Accessible(f.url + page)
	}
}

var keepersPages = []string{"/systems", "/systems/debian-12", "/systems/new", "/images/gc", "/health", "/audit"}
