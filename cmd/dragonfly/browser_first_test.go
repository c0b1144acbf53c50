package main

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/ui/uitest"
)

var kernelPath = regexp.MustCompile(`(?m)^set dragonfly http://[^/]+(\S+)\nkernel \$\{dragonfly\}(\S+)`)

// From the link in the log to the first machine: an account, the page that waits, each
// step of the boot as it comes, and what can be done with it then.
func TestFirstRunInBrowser(t *testing.T) {
	r, log := startLogged(t, testConfig(t))
	t.Cleanup(func() { r.end(t) })
	link := log.find(`link=(\S+)`)
	if link == nil {
		t.Fatal("the log has no link")
	}
	w := uitest.New(t)
	w.Do(chromedp.Navigate(link[1]), chromedp.WaitVisible(chromedp.CSS("#name")))
	w.Wait(`document.querySelector("#token").value !== ""`)
	w.Do(chromedp.SetValue(chromedp.CSS("#name"), "ana"), chromedp.SetValue(chromedp.CSS("#password"), "correct horse battery"),
		chromedp.Click(chromedp.CSS("button.btn-primary")), chromedp.WaitVisible(chromedp.CSS("#first")))
	w.Wait(`location.pathname === "/first" && document.querySelectorAll(".legs [data-state=next]").length === 5`)
	w.Says(".guide", "Secure Boot off")
	w.Says(".guide", "nothing to change")
	w.AccessibleHere()

	mac := registry.MAC{0x52, 0x54, 0, 0, 0, 9}
	_, script := r.get(t, "/boot/"+mac.String()+"/auto.ipxe?arch=bios")
	w.Says("#first [role=status]", "is on its way")
	w.Says(".legs [data-state=now]", "Starts the agent")
	w.Says(".story", "script: ")
	kernel := kernelPath.FindStringSubmatch(script)
	if kernel == nil {
		t.Fatalf("no kernel in\n%s", script)
	}
	if status, _ := r.get(t, kernel[1]+kernel[2]); status != http.StatusOK {
		t.Fatalf("the kernel: %d", status)
	}
	w.Says(".legs [data-state=now]", "Registers")
	w.AccessibleHere()

	agent := &api.Client{Base: r.url, Token: bootToken.FindStringSubmatch(script)[1]}
	m, err := agent.Register(t.Context(), api.RegisterRequest{MAC: mac, Hardware: registry.Hardware{System: registry.System{Vendor: "Acme", Serial: "SN-9"}, CPU: registry.CPU{Arch: "amd64"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Says("#first [role=status]", m.Name+" is here")
	w.Wait(`document.querySelectorAll(".legs [data-state=done]").length === 5`)
	w.AccessibleHere()
	w.Do(chromedp.Click(chromedp.CSS(".arrived a.btn-primary")), chromedp.WaitVisible(chromedp.CSS("#os")))
	w.Wait(fmt.Sprintf(`location.pathname === "/machines/%s/deploy"`, m.ID))
	w.Clean(r.url)
}
