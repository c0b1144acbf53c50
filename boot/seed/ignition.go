package seed

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	ign "github.com/coreos/ignition/v2/config/v3_4"
	"github.com/coreos/ignition/v2/config/v3_4/types"
	"github.com/coreos/vcontext/report"
	"github.com/vincent-petithory/dataurl"

	"dragonfly/registry"
)

// ignition makes an Ignition config of version 3.4, as Flatcar reads it: ours, and on
// it that of each layer, merged as Ignition merges (a file by its path, a user by
// its name, a unit by its name).
func (r Request) ignition(whole registry.Seed, p *problems) string {
	config := r.ignitionOf(whole)
	for _, l := range r.Layers {
		if strings.TrimSpace(l.UserData) == "" {
			continue
		}
		own, err := parseIgnition(l.UserData)
		if err != nil {
			p.of(l).add("/user_data", "%s", err)
			continue
		}
		config = ign.Merge(config, own)
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		panic(err) // it is texts and numbers
	}
	if _, found, err := ign.Parse(text); err != nil {
		p.add("/user_data", "the configs together are not valid: %s", firstOf(found, err))
	}
	return string(text) + "\n"
}

// parseIgnition reads a config of any version up to 3.4. A member that is unknown is
// refused, which Ignition only warns of.
func parseIgnition(text string) (types.Config, error) {
	text, err := cleanText(text)
	if err != nil {
		return types.Config{}, err
	}
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return types.Config{}, &mistake{1, `want an Ignition config in JSON, {"ignition": {"version": "3.4.0"}, ...}; butane makes one of YAML`}
	}
	config, found, err := ign.ParseCompatibleVersion([]byte(text))
	if err != nil {
		return config, firstOf(found, err)
	}
	for _, e := range found.Entries {
		if strings.HasPrefix(e.Message, "unused key ") {
			return config, entryOf(e)
		}
	}
	return config, nil
}

// firstOf is the first thing that is wrong with a config.
func firstOf(found report.Report, err error) error {
	for _, e := range found.Entries {
		if e.Kind == report.Error {
			return entryOf(e)
		}
	}
	return err
}

func entryOf(e report.Entry) error {
	line := 0
	if e.Marker.StartP != nil {
		line = int(e.Marker.StartP.Line)
	}
	message := e.Message
	if at := e.Context.String(); at != "" && at != "$" {
		message = strings.TrimPrefix(at, "$.") + ": " + message
	}
	return &mistake{line, message}
}

// ignitionOf is a seed as a config, without its user data.
func (r Request) ignitionOf(s registry.Seed) types.Config {
	c := types.Config{Ignition: types.Ignition{Version: types.MaxVersion.String()}}
	c.Passwd.Users = ignitionUsers(s, r.User)
	for _, u := range s.Users {
		if u.Sudo {
			addFile(&c, "/etc/sudoers.d/dragonfly-"+u.Name, 0o440, u.Name+" ALL=(ALL) NOPASSWD:ALL\n")
		}
	}
	if s.Hostname != "" {
		addFile(&c, "/etc/hostname", 0o644, s.Hostname+"\n")
	}
	if s.Timezone != "" {
		c.Storage.Links = append(c.Storage.Links, types.Link{Node: types.Node{Path: "/etc/localtime", Overwrite: yes()},
			LinkEmbedded1: types.LinkEmbedded1{Target: optional("../usr/share/zoneinfo/" + s.Timezone)}})
	}
	for i, certificates := range s.CACertificates {
		addFile(&c, fmt.Sprintf("/etc/ssl/certs/dragonfly-%d.pem", i+1), 0o644, certificates)
	}
	for _, files := range []map[string]string{linkFiles(s.Network), networkd(s.Network)} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			addFile(&c, "/etc/systemd/network/"+name, 0o644, files[name])
		}
	}
	r.firstBootUnits(&c, s)
	return c
}

// ignitionUsers is the image's own user with the keys, and the others.
func ignitionUsers(s registry.Seed, own string) (all []types.PasswdUser) {
	users := s.Users
	if len(s.SSHKeys) > 0 && own != "" {
		users = mergeUsers([]registry.SeedUser{{Name: own, SSHKeys: s.SSHKeys}}, users)
	}
	for _, u := range users {
		data := types.PasswdUser{Name: u.Name, Gecos: optional(u.Comment), Shell: optional(u.Shell), PasswordHash: optional(u.PasswordHash)}
		for _, key := range u.SSHKeys {
			data.SSHAuthorizedKeys = append(data.SSHAuthorizedKeys, types.SSHAuthorizedKey(strings.TrimSpace(key)))
		}
		for _, group := range u.Groups {
			data.Groups = append(data.Groups, types.Group(group))
		}
		all = append(all, data)
	}
	return all
}

// optional is what a config has for a text: nothing for an empty one.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func yes() *bool { return new(true) }

func addFile(c *types.Config, path string, mode int, content string) {
	source := "data:," + dataurl.EscapeString(content)
	c.Storage.Files = append(c.Storage.Files, types.File{Node: types.Node{Path: path, Overwrite: yes()},
		FileEmbedded1: types.FileEmbedded1{Mode: &mode, Contents: types.Resource{Source: &source}}})
}

// The files and units of a first boot. Ignition runs in the initramfs; these run when
// the system is up, until they have succeeded once.
const (
	scriptPath    = "/etc/dragonfly/first-boot.sh"
	scriptUnit    = "dragonfly-first-boot.service"
	phoneHomeUnit = "dragonfly-phone-home.service"
)

// firstBootUnits runs the commands and then phones home. Commands run one after
// the other, whatever becomes of each, as cloud-init's runcmd does it.
func (r Request) firstBootUnits(c *types.Config, s registry.Seed) {
	commands := s.Commands
	if len(s.CACertificates) > 0 {
		commands = append([]string{"update-ca-certificates"}, commands...)
	}
	if len(commands) > 0 {
		addFile(c, scriptPath, 0o700, "#!/bin/sh\n"+lines(commands)+"\n")
		addUnit(c, scriptUnit, "First boot commands", "", "/bin/sh "+scriptPath)
	}
	if r.URL != "" {
		// No --retry-all-errors: a refusal (410) is an answer.
		curl := "/usr/bin/curl --silent --show-error --fail --retry 20 --retry-delay 3 --retry-connrefused --connect-timeout 10 --max-time 30" +
			" --data-urlencode instance_id=" + r.InstanceID + " --data-urlencode hostname=%H " + r.URL + "/phone-home"
		addUnit(c, phoneHomeUnit, "Report to the provisioning server that this system is up", scriptUnit, curl)
	}
}

// addUnit adds a unit that runs a command once. What it has done is marked by a file,
// for ConditionFirstBoot= is lost when the first attempt is cut short.
func addUnit(c *types.Config, name, description, after, command string) {
	done := "/var/lib/dragonfly/" + strings.TrimSuffix(name, ".service") + ".done"
	f := &ini{}
	f.section("Unit")
	f.set("Description", description)
	f.set("ConditionPathExists", "!"+done)
	f.set("Wants", "network-online.target")
	f.set("After", strings.TrimSpace("network-online.target "+after))
	f.section("Service")
	f.set("Type", "oneshot")
	f.set("RemainAfterExit", "yes")
	f.set("StateDirectory", "dragonfly")
	f.set("ExecStart", command)
	f.set("ExecStartPost", "/usr/bin/touch "+done)
	f.section("Install")
	f.set("WantedBy", "multi-user.target")
	content := f.String()
	c.Systemd.Units = append(c.Systemd.Units, types.Unit{Name: name, Enabled: yes(), Contents: &content})
}
