package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

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

// A file is sent from a browser: what had arrived before is not sent again, what there is
// no room for is not begun, and what came of it is used for an operating system.
func TestUploadInBrowser(t *testing.T) {
	f := newOffice(t)
	raw := rawDisk()
	copy(raw, "another one")
	path := filepath.Join(t.TempDir(), "other.raw")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	half := registry.ImageUpload{SHA256: sumText(raw), Size: int64(len(raw)), Title: "begun elsewhere"}
	broken := io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := f.UploadImage(t.Context(), half, broken); err == nil {
		t.Fatal("half of it was taken for all")
	}
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url + "/images/new"))
	w.Says("#jobs", "choose the same file again")
	w.Do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path}))
	w.Eval("window.room = document.querySelector('[data-upload]').dataset.upload; document.querySelector('[data-upload]').dataset.upload = 10")
	w.Do(chromedp.Click(chromedp.CSS("#upload-go")))
	w.Says("#upload-fault", "there is room for 10 B")
	w.Eval("document.querySelector('[data-upload]').dataset.upload = window.room")
	w.Do(chromedp.Click(chromedp.CSS("#upload-go")))
	w.Says("#upload-line", "is here")
	w.Says("#jobs", "upload succeeded")
	w.Do(chromedp.Navigate(f.url+"/systems"), chromedp.Click(chromedp.CSS("a[href$='"+sumText(raw)+"']")), chromedp.WaitVisible(chromedp.CSS("#sha256_amd64")))
	w.Wait(fmt.Sprintf("document.querySelector('#sha256_amd64').value === %q", sumText(raw)))
	w.Clean(f.url)
	w.Do(chromedp.Navigate(f.url+"/images/new"), chromedp.SetValue(chromedp.CSS("#url"), "ftp://x"), chromedp.SetValue(chromedp.CSS("#sha256"), "abc"), chromedp.Click(chromedp.CSS("form[method=post][action='/images/new'] button")), chromedp.WaitVisible(chromedp.CSS("#url-why")))
	w.Says("#url-why", "want a URL")
	w.Says("#sha256-why", "64 hexadecimal digits")
}

// The pages for those who run the appliance are for everybody.
func TestKeepersPagesAreAccessible(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	for _, page := range keepersPages {
		w.Accessible(f.url + page)
	}
}

var keepersPages = []string{"/systems", "/systems/debian-12", "/systems/new", "/images/gc", "/images/new", "/health", "/audit"}
