package seed

import (
	"cmp"
	"slices"

	"dragonfly/registry"
)

// merged is what all layers say together: of what there is one of, the most
// special layer's; of lists, all, each entry once.
func (r Request) merged() (whole registry.Seed) {
	for _, l := range r.Layers {
		whole = merge(whole, l.Seed)
	}
	return whole
}

// merge lets over add to under. Its user data stays where it is. A network is one
// thing: the parts of two hardly make a third.
func merge(under, over registry.Seed) registry.Seed {
	network := under.Network
	if !over.Network.Empty() {
		network = over.Network
	}
	hostname, fqdn := under.Hostname, under.FQDN
	if over.Hostname != "" || over.FQDN != "" {
		hostname, fqdn = over.Hostname, over.FQDN
	}
	return registry.Seed{
		Hostname: cmp.Or(hostname, label(fqdn)), FQDN: fqdn,
		Timezone:       cmp.Or(over.Timezone, under.Timezone),
		SSHKeys:        union(under.SSHKeys, over.SSHKeys),
		Users:          mergeUsers(under.Users, over.Users),
		Packages:       union(under.Packages, over.Packages),
		Commands:       union(under.Commands, over.Commands),
		CACertificates: union(under.CACertificates, over.CACertificates),
		Network:        network,
	}
}

// union is under, and what over has that under has not. What a layer says twice it
// means twice.
func union(under, over []string) []string {
	all := slices.Clone(under)
	for _, entry := range over {
		if !slices.Contains(under, entry) {
			all = append(all, entry)
		}
	}
	return all
}

func mergeUsers(under, over []registry.SeedUser) []registry.SeedUser {
	all := slices.Clone(under)
	for _, u := range over {
		i := slices.IndexFunc(all, func(known registry.SeedUser) bool { return known.Name == u.Name })
		if i < 0 {
			all = append(all, u)
			continue
		}
		known := all[i]
		all[i] = registry.SeedUser{Name: u.Name,
			Comment:      cmp.Or(u.Comment, known.Comment),
			Groups:       union(known.Groups, u.Groups),
			Shell:        cmp.Or(u.Shell, known.Shell),
			Sudo:         u.Sudo || known.Sudo,
			PasswordHash: cmp.Or(u.PasswordHash, known.PasswordHash),
			SSHKeys:      union(known.SSHKeys, u.SSHKeys),
		}
	}
	return all
}
