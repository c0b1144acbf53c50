package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dragonfly/registry"
)

// maxFound is how many machines the palette lists; with more of them the list is better.
const maxFound = 8

// maxSought bounds what is typed into the palette.
const maxSought = 1000

// command is a line of the palette: where it leads, or what it presses on the page.
type command struct {
	Title, About string
	Href         string
	Press        string // a selector; the script leaves the line out where nothing matches
	Key          string // that does the same without the palette
	Not          string // why it may not be chosen
}

// commands are those of one kind.
type commands struct {
	Title string
	All   []command
}

// found is what the palette offers.
type found struct {
	Groups []commands
	Fault  string // what is wrong with the text, as a filter
}

// palette is what can be done, and the machines that match, for what was typed.
func (u *UI) palette(w http.ResponseWriter, r *http.Request) error {
	sought := strings.TrimSpace(r.FormValue("q"))
	if len(sought) > maxSought {
		return render(w, r, http.StatusOK, paletteList(found{Fault: "That is longer than any filter. Type part of a name."}))
	}
	var f found
	for _, group := range []commands{u.atHand(r), onChosen(r), placesGroup(r), pageCommands()} {
		f.add(group, sought)
	}
	if err := u.seek(r, sought, &f); err != nil {
		return err
	}
	return render(w, r, http.StatusOK, paletteList(f))
}

// add takes in the commands that have every word that was typed.
func (f *found) add(group commands, sought string) {
	var fit []command
	for _, c := range group.All {
		if hasWords(c.Title, sought) {
			fit = append(fit, c)
		}
	}
	if len(fit) > 0 {
		f.Groups = append(f.Groups, commands{group.Title, fit})
	}
}

// hasWords reports whether each word of sought begins a word of title.
func hasWords(title, sought string) bool {
	title = " " + registry.Fold(title)
	for _, word := range strings.Fields(registry.Fold(sought)) {
		if !strings.Contains(title, " "+word) {
			return false
		}
	}
	return true
}

// seek finds machines by the filter of the list. A text that is none finds nothing, and
// is only worth a word where nothing else matched.
func (u *UI) seek(r *http.Request, sought string, f *found) error {
	if sought == "" {
		return nil
	}
	filter, err := registry.ParseFilter(sought)
	if err != nil {
		if len(f.Groups) == 0 {
			f.Fault = sentence(err)
		}
		return nil
	}
	machines, err := u.Machines.Machines(r.Context(), registry.Query{Filter: filter, Limit: maxFound + 1, Brief: true, Now: time.Now()})
	if err != nil || len(machines) == 0 {
		return err
	}
	group := commands{Title: "Machines"}
	for _, m := range machines[:min(len(machines), maxFound)] {
		group.All = append(group.All, command{Title: m.Name, About: aboutMachine(m), Href: machinePath(m.ID)})
	}
	if len(machines) > maxFound {
		group.All = append(group.All, command{Title: "All machines that match", Href: view{Filter: sought}.url("/machines")})
	}
	f.Groups = append(f.Groups, group)
	return nil
}

func machinePath(id string) string { return "/machines/" + url.PathEscape(id) }

// aboutMachine is what tells a machine from others, in a line.
func aboutMachine(m registry.Machine) string {
	parts := []string{string(m.State)}
	if m.Address.IsValid() {
		parts = append(parts, m.Address.String())
	}
	if serial := m.Hardware.System.Serial; serial != "" {
		parts = append(parts, serial)
	}
	return strings.Join(parts, ", ")
}

// atHand is what can be done with the machine that the page is of, or that has the
// focus in the list.
func (u *UI) atHand(r *http.Request) (group commands) {
	id, _, _ := strings.Cut(strings.TrimPrefix(r.FormValue("at"), "/machines/"), "/")
	if id == "" {
		return group
	}
	m, err := u.Records.Machine(r.Context(), id)
	if err != nil {
		return group // it is gone, or the page is of something else
	}
	group.Title = m.Name
	path := machinePath(m.ID)
	group.All = []command{
		{Title: "Deploy", Href: path + "/deploy", Key: "d", Not: undeployable(m)},
		{Title: "Boot once", Href: path + "/once"},
		{Title: "Edit name, tags, note", Href: path + "/edit", Key: "e"},
		{Title: "Lock", Press: ".actions details > summary", Not: lockedAlready(m)},
	}
	if !operator(r) {
		for i := range group.All {
			group.All[i].Not = "An operator may."
		}
	}
	for _, t := range machineTabs {
		group.All = append(group.All, command{Title: t.Title, Href: tabPath(m.ID, t.Name)})
	}
	if operator(r) {
		group.All = append(group.All, command{Title: "Audit", Href: "/audit?object=" + url.QueryEscape(m.ID)})
	}
	return group
}

func lockedAlready(m registry.Machine) string {
	if m.Lock == nil {
		return ""
	}
	return "It is locked by " + m.Lock.By + "."
}

// onChosen is what can be done with the machines that are chosen in the list: its buttons,
// each of which asks before anything happens.
func onChosen(r *http.Request) (group commands) {
	n, err := strconv.Atoi(r.FormValue("chosen"))
	if err != nil || n < 1 {
		return group
	}
	group.Title = machinesOf(n) + " chosen"
	for _, d := range doings() {
		c := command{Title: d.Word, Press: "#chosen [value=" + d.Name + "]"}
		if !operator(r) {
			c.Press, c.Not = "#chosen", "An operator may."
		}
		group.All = append(group.All, c)
	}
	return group
}

func placesGroup(r *http.Request) (group commands) {
	group.Title = "Places"
	for _, p := range places() {
		group.All = append(group.All, command{Title: p.Title, Href: p.Path, Key: "g " + p.Key})
	}
	audit := command{Title: "Audit log", Href: "/audit"}
	if !operator(r) {
		audit.Not = "An operator may."
	}
	group.All = append(group.All, audit, command{Title: "Failed machines", Href: "/machines?q=state:failed"},
		command{Title: "Boot one machine now", Href: "/first"}, command{Title: "Durations of deployments", Href: "/deployments?show=durations"}, command{Title: "API reference", Href: "/docs"})
	for _, t := range settingsTabs[1:] {
		c := command{Title: "Settings: " + t.Title, Href: t.Path}
		if t.Admin && !admin(r) {
			c.Not = "An admin manages these."
		}
		group.All = append(group.All, c)
	}
	return group
}

// pageCommands are what concerns the page, whichever it is.
func pageCommands() commands {
	return commands{"This page", []command{
		{Title: "Theme: the next one", Press: "header [x-data=theme]"},
		{Title: "Keys", Press: "[data-open=keys]", Key: "?"},
		{Title: "Sign out", Press: ".account button"},
	}}
}
