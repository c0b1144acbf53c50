package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dragonfly/registry"
	"dragonfly/ui/uitest"
)

// setPress presses a button of the form of the defaults.
func setPress(value string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS("main button[value=" + value + "]"))
}

// What is wrong stands beside each field, and what was typed stays.
func TestWrongDefaultsInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/settings/defaults"), fill("ssh_keys", "ssh-ed25519 nonsense"), fill("timezone", "Europe/Wien"), fill("user_data", "#cloud-config\n- x\n"), fill("vlan", "9999"))
	w.Do(chromedp.SetValue(chromedp.CSS("#net"), "dhcp"), setPress("save"), chromedp.WaitVisible(chromedp.CSS("#network-why")))
	w.Says("#network-why", "want a VLAN from 1 to 4094")
	w.Do(fill("vlan", "42"), chromedp.Click(chromedp.CSS("details.user summary")), fill("users-0-name", "Ana"), fill("users-0-password_hash", "secret"), setPress("save"), chromedp.WaitVisible(chromedp.CSS("#timezone-why")))
	w.Says("#ssh_keys-why", "key")
	w.Says("#timezone-why", "there is no time zone")
	w.Says("#users-0-name-why", "want a name such as ana")
	w.Says("#users-0-password_hash-why", "a password itself is not kept")
	w.Wait(`document.querySelector("#user_data").value.includes("- x") && document.querySelector("#vlan").value === "42" && document.querySelector("details.user").open`)
	w.AccessibleHere()
	if d, err := f.Defaults(t.Context()); err != nil || d.Version != 0 {
		t.Errorf("it was kept: %+v, %v", d, err)
	}
}

// The defaults are set; a machine is shown what it would be given; and the deploy dialog
// says where that comes from.
func TestDefaultsInBrowser(t *testing.T) {
	f := newOffice(t)
	w := uitest.New(t)
	w.Do(chromedp.Navigate(f.url+"/settings/defaults"), chromedp.SetValue(chromedp.CSS("#net"), "dhcp"), fill("vlan", "42"), chromedp.Click(chromedp.CSS("details.user summary")))
	w.Do(fill("ssh_keys", testKey), fill("timezone", "UTC"), fill("user_data", "#cloud-config\nlocale: de_AT.UTF-8\n"), fill("users-0-name", "ana"), fill("users-0-password_hash", hashOfAna), fill("packages", "htop, curl"))
	w.Do(fill("machine", f.m.Name), chromedp.SetValue(chromedp.CSS("#os"), "mine-cloud-init"), setPress("try"), chromedp.WaitVisible(chromedp.CSS("#outcome")))
	w.Says("#outcome", "locale: de_AT.UTF-8")
	w.Says("#outcome", "lan0.42")
	w.Says("#outcome", f.mac)
	w.Wait(`!document.querySelector("#outcome").textContent.includes("$6$rounds")`)
	w.AccessibleHere()
	w.Do(setPress("save"), chromedp.WaitVisible(chromedp.CSS(".note.good")))
	w.Wait(`document.querySelector("#users-0-password_hash").value === "kept" && !document.documentElement.innerHTML.includes("$6$rounds")`)
	d, err := f.Defaults(t.Context())
	if err != nil || d.Version != 1 || strings.Join(d.Packages, " ") != "htop curl" || len(d.Users) != 1 || d.Network.VLANs[0].ID != 42 {
		t.Fatalf("%+v, %v", d, err)
	}
	w.Do(chromedp.Navigate(f.url + "/machines/" + f.m.ID + "/deploy?os=mine-cloud-init"))
	w.Says(".given", "by the defaults: 1 SSH key, user ana, 2 packages, time zone UTC, a network, user data")
	w.Says(".given", "by Mine: time zone Europe/Vienna")
	w.AccessibleHere()
	form := url.Values{"version": {"0"}, "timezone": {"Europe/Rome"}, "ssh_keys": {""}, "packages": {""}, "commands": {""}, "ca_certificates": {""}, "user_data": {""}, "net": {"other"}}
	if status, body := f.post(t, f.url+"/settings/defaults", form); status != http.StatusConflict || !strings.Contains(body, "Somebody changed the defaults meanwhile") || !strings.Contains(body, "Europe/Rome") {
		t.Errorf("over what somebody else did: %d %s", status, body)
	}
	// What the form cannot say stays.
	d.Network.VLANs = append(d.Network.VLANs, registry.VLAN{Name: "lan0.43", ID: 43, On: "lan0"})
	if d, err = f.SetDefaults(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	w.Do(chromedp.Navigate(f.url+"/settings/defaults"), fill("timezone", "Europe/Rome"), setPress("save"), chromedp.WaitVisible(chromedp.CSS(".note.good")))
	if d, err = f.Defaults(t.Context()); err != nil || d.Timezone != "Europe/Rome" || len(d.Network.VLANs) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	for name, form := range map[string]url.Values{"nothing": {}, "no version": {"timezone": {""}, "ssh_keys": {""}, "packages": {""}, "commands": {""}, "ca_certificates": {""}, "user_data": {""}, "net": {""}, "version": {"x"}}} {
		if status, body := f.post(t, f.url+"/settings/defaults", form); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	w.Accessible(f.url + "/settings/defaults")
	w.Clean(f.url)
}
