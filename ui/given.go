package ui

import (
	"context"
	"slices"
	"strings"

	"dragonfly/registry"
)

// givenBy is what somebody else gives a machine beside what a form asks for.
type givenBy struct{ Source, Path, What string }

// given lists what a machine is given beside what a deployment asks for, the most general
// first: of the operating system nothing where none is chosen, and nothing for a wipe.
func (u *UI) given(ctx context.Context, m registry.Machine, os string) (all []givenBy, err error) {
	if os == wipe {
		return nil, nil
	}
	d, err := u.Defaults.Defaults(ctx)
	if err != nil {
		return nil, err
	}
	add := func(source, path string, s registry.Seed) {
		if words := seedWords(s); words != "" {
			all = append(all, givenBy{source, path, words})
		}
	}
	add("the defaults", "/settings/defaults", d.Seed)
	systems, err := u.Deployments.OSes(ctx)
	at := slices.IndexFunc(systems, func(o registry.OS) bool { return o.ID == os })
	if err != nil || at < 0 {
		return all, err
	}
	o, page := systems[at], "/systems/"+systems[at].ID+"?as=yaml"
	add(o.Name, page, o.Seed)
	for _, tag := range m.Tags {
		add(o.Name+" for the tag "+tag, page, o.TagSeeds[tag])
	}
	return all, nil
}

// seedWords is what a seed gives, in words.
func seedWords(s registry.Seed) string {
	var words []string
	count := func(n int, thing string) {
		if n > 0 {
			words = append(words, registry.Counted(n, thing))
		}
	}
	say := func(said bool, word string) {
		if said {
			words = append(words, word)
		}
	}
	count(len(s.SSHKeys), "SSH key")
	for _, user := range s.Users {
		words = append(words, "user "+user.Name)
	}
	count(len(s.Packages), "package")
	count(len(s.Commands), "command")
	count(len(s.CACertificates), "certificate")
	say(s.Timezone != "", "time zone "+s.Timezone)
	say(!s.Network.Empty(), "a network")
	say(s.UserData != "", "user data")
	return strings.Join(words, ", ")
}
