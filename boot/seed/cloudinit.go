package seed

import (
	"strings"

	"dragonfly/registry"
)

// cloudConfigData is what the members of a [registry.Seed] are in cloud-config, each
// under the name that it has since cloud-init 22.4 or earlier.
type cloudConfigData struct {
	Hostname       string       `yaml:"hostname,omitempty"`
	FQDN           string       `yaml:"fqdn,omitempty"`
	ManageEtcHosts string       `yaml:"manage_etc_hosts,omitempty"`
	Timezone       string       `yaml:"timezone,omitempty"`
	SSHKeys        []string     `yaml:"ssh_authorized_keys,omitempty"` // of the image's own user
	Users          []any        `yaml:"users,omitempty"`
	PackageUpdate  bool         `yaml:"package_update,omitempty"`
	Packages       []string     `yaml:"packages,omitempty"`
	CACerts        *caCertsData `yaml:"ca_certs,omitempty"`
	RunCmd         []string     `yaml:"runcmd,omitempty"`
}

type caCertsData struct {
	Trusted []string `yaml:"trusted"`
}

type userData struct {
	Name         string   `yaml:"name"`
	Comment      string   `yaml:"gecos,omitempty"`
	Groups       []string `yaml:"groups,omitempty"`
	Shell        string   `yaml:"shell,omitempty"`
	Sudo         string   `yaml:"sudo,omitempty"`
	PasswordHash string   `yaml:"hashed_passwd,omitempty"`
	LockPassword *bool    `yaml:"lock_passwd,omitempty"` // true where it is left out
	SSHKeys      []string `yaml:"ssh_authorized_keys,omitempty"`
}

// phoneHome has cloud-init report when all is done. Its requests have no timeout,
// so few tries: where packets vanish each takes two minutes.
type phoneHome struct {
	URL   string   `yaml:"url"`
	Post  []string `yaml:"post,flow"`
	Tries int      `yaml:"tries"` // 3 s apart
}

const phoneHomeTries = 20

var phoneHomePost = []string{"instance_id", "hostname", "fqdn", "pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519"}

// cloudConfig is one layer's settings, without its user data. The image's own user
// stays beside others, which "default" says.
func cloudConfig(s registry.Seed) cloudConfigData {
	c := cloudConfigData{Hostname: s.Hostname, FQDN: s.FQDN, Timezone: s.Timezone, SSHKeys: s.SSHKeys,
		PackageUpdate: len(s.Packages) > 0, Packages: s.Packages, RunCmd: s.Commands}
	if s.FQDN != "" {
		c.Hostname = label(s.FQDN)
	}
	if c.Hostname != "" {
		c.ManageEtcHosts = "localhost" // or sudo complains that it cannot resolve the host
	}
	if len(s.CACertificates) > 0 {
		c.CACerts = &caCertsData{Trusted: s.CACertificates}
	}
	if len(s.Users) > 0 {
		c.Users = append(c.Users, "default")
	}
	for _, u := range s.Users {
		c.Users = append(c.Users, cloudUser(u))
	}
	return c
}

func cloudUser(u registry.SeedUser) userData {
	data := userData{Name: u.Name, Comment: u.Comment, Groups: u.Groups, Shell: u.Shell, PasswordHash: u.PasswordHash, SSHKeys: u.SSHKeys}
	if u.Sudo {
		data.Sudo = "ALL=(ALL) NOPASSWD:ALL"
	}
	if u.PasswordHash != "" {
		data.LockPassword = new(bool)
	}
	return data
}

// metaData is NoCloud's meta-data. With another instance ID cloud-init takes the
// disk for a new machine's.
func metaData(d Documents) string {
	return encode(struct {
		InstanceID string `yaml:"instance-id"`
		Hostname   string `yaml:"local-hostname,omitempty"`
	}{d.InstanceID, d.Hostname})
}

// CloudConfigFile is what /etc/cloud/cloud.cfg.d/99-dragonfly.cfg has to hold for a
// seed on the disk: the first boot waits for no other source, and ds-identify, which
// reads this list and no more, starts cloud-init.
const CloudConfigFile = "# The seed is in /var/lib/cloud/seed/nocloud.\ndatasource_list: [ NoCloud, None ]\n"

// lines is texts as lines.
func lines(all []string) string { return strings.Join(all, "\n") }
