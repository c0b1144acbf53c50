package seed

import (
	"fmt"
	"reflect"

	"dragonfly/registry"
)

// How much there may be.
const (
	MaxUserData  = 128 << 10 // bytes of user data of one layer
	MaxDocument  = 256 << 10 // bytes of a document; a Tinkerbell template may have no more either
	maxLayers    = 64
	maxPEM       = 64 << 10 // bytes of one entry of certificates
	maxCommand   = 16 << 10 // bytes of one command
	maxNodes     = 20_000   // of the YAML of all layers, aliases resolved
	maxDepth     = 64       // of YAML
	maxParts     = 64       // of MIME, in one layer
	maxPartDepth = 4        // of MIME in MIME
	maxProblems  = 20       // reported at once
)

// Layer is what one source says of a seed.
type Layer struct {
	Source string // for messages, such as "tag gpu"; empty for the request itself
	registry.Seed
}

// name is what a layer is called where there are several.
func (l Layer) name() string {
	if l.Source == "" {
		return "the request"
	}
	return l.Source
}

// Request is what a seed is made of.
type Request struct {
	FirstBoot  registry.FirstBoot // of the operating system
	User       string             // the image's own, such as core; Ignition has to be told
	InstanceID string             // the deployment's ID: another one makes cloud-init start over
	URL        string             // where the metadata service has this seed, without a slash at the end; empty: nowhere, and nobody phones home
	Layers     []Layer            // the most general first
}

// Documents is a seed as it is read. What another way of first boot would need is
// empty.
type Documents struct {
	FirstBoot     registry.FirstBoot
	InstanceID    string
	Hostname      string            // with the domain, where that is known
	SSHKeys       []string          // of the image's own user
	UserData      string            // for cloud-init, or the Ignition or Talos config
	MetaData      string            // NoCloud's, in YAML
	NetworkConfig string            // NoCloud's, version 2; a mere comment where the network is left to the image
	Netplan       string            // /etc/netplan/*.yaml; this and the next four are empty then
	Links         map[string]string // /etc/systemd/network/*.link, by file name: the names of ports, for the next three
	Interfaces    string            // /etc/network/interfaces
	Keyfiles      map[string]string // of NetworkManager, by file name
	Networkd      map[string]string // of systemd-networkd, by file name
	URL           string            // as in Request
}

// Render makes the documents. The error is a [*registry.InvalidError] with
// everything that is wrong; a pointer is that of the layer's [registry.Seed], and
// the message begins with the layer's source.
func Render(r Request) (Documents, error) {
	if err := Validate(r.Layers...); err != nil {
		return Documents{}, err
	}
	whole := r.merged()
	p := &problems{}
	d := Documents{FirstBoot: r.FirstBoot, InstanceID: r.InstanceID, Hostname: whole.Hostname, SSHKeys: whole.SSHKeys, URL: r.URL}
	if whole.FQDN != "" {
		d.Hostname = whole.FQDN
	}
	r.unread(p)
	switch r.FirstBoot {
	case registry.FirstBootCloudInit:
		d.UserData = r.cloudInit(p)
	case registry.FirstBootIgnition:
		d.UserData = r.ignition(whole, p)
	case registry.FirstBootTalos:
		d.UserData = r.talos(p)
	}
	d.MetaData = metaData(d)
	d.network(whole.Network)
	if len(d.UserData) > MaxDocument {
		p.add("/user_data", "together it is %d bytes; at most %d", len(d.UserData), MaxDocument)
	}
	if err := p.err(); err != nil {
		return Documents{}, err
	}
	return d, nil
}

// network adds the network in every form.
func (d *Documents) network(n registry.Network) {
	d.NetworkConfig = networkConfig(n)
	if n.Empty() {
		return
	}
	d.Netplan, d.Links = netplan(n), linkFiles(n)
	d.Interfaces, d.Keyfiles, d.Networkd = interfaces(n), keyfiles(n), networkd(n)
}

// unread refuses what the operating system would never read.
func (r Request) unread(p *problems) {
	why, pointers := unread(r.FirstBoot)
	for _, layer := range r.Layers {
		for _, pointer := range pointers {
			if says(layer.Seed, pointer) {
				p.of(layer).add(pointer, "%s", why)
			}
		}
	}
}

// says reports whether a seed has something at a pointer.
func says(s registry.Seed, pointer string) bool { return member(&s, pointer).Len() > 0 }

// member is the text or the list at a pointer of a seed, to be read or set.
func member(s *registry.Seed, pointer string) reflect.Value {
	to := map[string]any{
		"/timezone": &s.Timezone, "/ssh_keys": &s.SSHKeys, "/users": &s.Users, "/packages": &s.Packages,
		"/commands": &s.Commands, "/ca_certificates": &s.CACertificates, "/user_data": &s.UserData,
	}
	return reflect.ValueOf(to[pointer]).Elem()
}

// problems collects what is wrong.
type problems struct {
	fields []registry.FieldError
}

func (p *problems) add(pointer, format string, args ...any) {
	if len(p.fields) < maxProblems {
		p.fields = append(p.fields, registry.FieldError{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
}

// of adds to p what is wrong with a layer.
func (p *problems) of(l Layer) blame { return blame{p, l} }

func (p *problems) err() error {
	if len(p.fields) == 0 {
		return nil
	}
	return &registry.InvalidError{Fields: p.fields}
}

// blame is problems of one layer.
type blame struct {
	*problems
	layer Layer
}

func (b blame) add(pointer, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if b.layer.Source != "" {
		message = b.layer.Source + ": " + message
	}
	b.problems.add(pointer, "%s", message)
}
