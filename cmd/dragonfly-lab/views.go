package main

import (
	"context"
	"errors"

	"github.com/chromedp/chromedp"
)

// view is one page that is taken, and what is done on it before.
type view struct{ name, path, script string }

// press does what is to be done on the page, and waits for what comes of it.
func (v view) press(window context.Context) error {
	if v.script == "" {
		return nil
	}
	_, err := chromedp.Run(window, chromedp.Evaluate[any](v.script+"null"))
	return errors.Join(err, chromedp.Do(window, chromedp.Sleep(settle)))
}

// firstPages are those before there is an account.
func firstPages() []view {
	return []view{{name: "first-setup", path: "/setup"}, {name: "first-machines", path: "/machines"}, {name: "first-settings", path: "/settings"}}
}

// everyPage are those that there are with and without machines.
func everyPage() []view {
	return []view{
		{name: "login", path: "/login"},
		{name: "machines", path: "/machines"},
		{name: "first-machine", path: "/first"},
		{name: "machines-wrong-filter", path: "/machines?q=stat:ready"},
		{name: "machines-none-match", path: "/machines?q=no-such-machine"},
		{name: "machines-help", path: "/machines", script: stroke("?")},
		{name: "deployments", path: "/deployments"},
		{name: "durations", path: "/deployments?show=durations"},
		{name: "systems", path: "/systems"},
		{name: "system", path: "/systems/debian-13"},
		{name: "system-new", path: "/systems/new"},
		{name: "system-yaml", path: "/systems/debian-13?as=yaml"},
		{name: "images-new", path: "/images/new"},
		{name: "images-gc", path: "/images/gc"},
		{name: "network", path: "/network"},
		{name: "health", path: "/health"},
		{name: "audit", path: "/audit"},
		{name: "settings", path: "/settings"},
		{name: "tokens", path: "/settings/tokens"},
		{name: "rules", path: "/settings/rules"},
		{name: "rule", path: "/settings/rules/edit"},
		{name: "defaults", path: "/settings/defaults"},
		{name: "users", path: "/settings/users"},
		{name: "user", path: "/settings/users/" + benchUser},
		{name: "docs", path: "/docs"},
		{name: "gone", path: "/machines/m-000000000000"},
		{name: "nothing", path: "/nothing"},
	}
}

// partPages are those of machines and deployments: one that is ready, and one that is
// being installed.
func partPages(ready, busy, running, failed string) []view {
	all := []view{
		{name: "machines-grouped", path: "/machines?group=state&open=%3Dready&cols=tags,labels,os,note,bmc,known"},
		{name: "machines-chosen", path: "/machines", script: chooseAll},
		{name: "bulk", path: "/machines", script: chooseAll + chosen("retire")},
		{name: "deploy-many", path: "/machines", script: chooseAll + chosen("deploy")},
		{name: "deploy", path: "/machines/" + ready + "/deploy?os=" + houseOS},
		{name: "once", path: "/machines/" + ready + "/once"},
		{name: "edit", path: "/machines/" + ready + "/edit"},
		{name: "delete", path: "/machines/" + ready + "/end/delete"},
		{name: "deployment", path: "/deployments/" + running},
		{name: "deployment-cancel", path: "/deployments/" + running + "/cancel"},
		{name: "deployment-failed", path: "/deployments/" + failed},
		{name: "machine", path: "/machines/" + busy},
	}
	for _, tab := range []string{"timeline", "hardware", "storage", "network", "deployments", "boot", "configuration"} {
		all = append(all, view{name: "machine-" + tab, path: "/machines/" + busy + "?tab=" + tab})
	}
	return all
}

// chooseAll is a script that chooses what is on the page; what was chosen before stays so.
var chooseAll = `document.querySelector(".machines tbody :checked") || ` + stroke("a")

// stroke is a script that presses a key.
func stroke(key string) string {
	return `document.dispatchEvent(new KeyboardEvent("keydown", {key: "` + key + `", bubbles: true}));`
}

// chosen is a script that does something with the machines that are chosen.
func chosen(do string) string {
	return `setTimeout(() => document.querySelector("#chosen [value=` + do + `]").click(), 100);`
}
