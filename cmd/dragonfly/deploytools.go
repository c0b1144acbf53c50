package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/images/catalogue"
	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// deployTools is what deployments need of the other rooms.
func (a *appliance) deployTools() (registry.Tools, error) {
	oses, err := catalogue.Shipped()
	if err != nil {
		return registry.Tools{}, err
	}
	templates, err := catalogue.Templates()
	if err != nil {
		return registry.Tools{}, err
	}
	return registry.Tools{Catalogue: oses, Templates: templates, ClusterTemplate: a.clusterTemplate(), Sealer: a.box, Render: renderTemplate, CheckActions: a.checkActions, Server: a.serverFor,
		Image: a.storedImage, Fetch: a.images.ImportFor, Fetching: a.images.Importing, Unwanted: a.images.Unwanted, Seed: a.seedParameters, CheckSeed: checkSeed, CheckDefaults: checkDefaults, Card: cardAt, Shared: a.db.shared, Ended: a.deploymentEnded, Engines: a.engines(), Engine: registry.Engine(a.cfg.Engine),
		Limits: registry.DeployLimits{Fetch: a.cfg.DeployFetch, Wait: a.cfg.DeployWait, Verify: a.cfg.DeployVerify}}, nil
}

// renderTemplate makes of a template what is carried out on a machine.
func renderTemplate(text string, m registry.Machine, params map[string]string) (registry.Rendered, error) {
	data, err := tinkerbell.NewData(m, params)
	if err != nil {
		return registry.Rendered{}, &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/parameters", Message: err.Error()}}}
	}
	rendered, err := tinkerbell.Render([]byte(text), data)
	out := registry.Rendered{}
	if err == nil {
		out, err = recipeOf(rendered)
	}
	if err != nil {
		return registry.Rendered{}, wrongTemplate(err)
	}
	return out, nil
}

// recipeOf is what is carried out of what a template gave.
func recipeOf(rendered tinkerbell.Rendered) (out registry.Rendered, err error) {
	t, err := rendered.Parse()
	if err == nil {
		err = t.Validate()
	}
	if err != nil {
		return out, err
	}
	out = registry.Rendered{Text: string(rendered.Text), Timeout: time.Duration(t.GlobalTimeout) * time.Second}
	for _, task := range t.Tasks {
		for _, action := range task.Actions {
			out.Actions = append(out.Actions, registry.RecipeAction{Name: action.Name, Image: action.Image, Command: action.Command,
				Environment: task.Variables(action), Timeout: action.Timeout, Volumes: slices.Concat(task.Volumes, action.Volumes),
				PID: cmp.Or(action.Namespaces.PID, action.PID), Network: action.Namespaces.Network})
		}
	}
	for _, note := range t.Notes() {
		out.Notes = append(out.Notes, note.String())
	}
	return out, nil
}

// checkActions says which actions nobody would carry out. Our agent has those that it
// has, as the engine and as Tinkerbell's worker; what Tinkerbell's own environments do is
// for them to say. A machine of an installation that says nothing of them gets there by
// Tinkerbell's own DHCP.
func (a *appliance) checkActions(d registry.Deployment, actions []registry.RecipeAction) error {
	advice := ""
	if d.Engine == registry.EngineTinkerbell {
		where := a.cfg.osie()
		where.OSIE = cmp.Or(d.OSIE, where.OSIE)
		if err := where.Check(); d.OSIE != "" && err != nil {
			return &registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/os", Message: fmt.Sprintf("its machines boot the installation environment %q: %v", d.OSIE, err)}}}
		}
		if where.OSIE != registry.OSIEAgent || where.Server == "" {
			return nil
		}
		advice = "; with `osie: hook` in its entry of the catalogue its machines boot HookOS, which runs any container"
	}
	wrong := &registry.InvalidError{}
	for _, step := range actions {
		if err := action.Check(step.Image); err != nil {
			wrong.Fields = append(wrong.Fields, registry.FieldError{Pointer: "/os", Message: fmt.Sprintf("its template: action %q: %v%s", step.Name, err, advice)})
		}
	}
	if len(wrong.Fields) == 0 {
		return nil
	}
	return wrong
}

// wrongTemplate is what is wrong with a template, line by line.
func wrongTemplate(err error) error {
	invalid, ok := errors.AsType[*tinkerbell.InvalidError](err)
	if !ok {
		return err
	}
	out := &registry.InvalidError{}
	for _, p := range invalid.Problems {
		out.Fields = append(out.Fields, registry.FieldError{Pointer: "/os", Message: "its template: " + p.String()})
	}
	return out
}

// serverFor is the URL by which a machine reaches this server: by the address that
// this host would speak to the machine from.
func (a *appliance) serverFor(m registry.Machine) (string, error) {
	port := strconv.Itoa(int(a.ports.httpPort()))
	if host, err := netip.ParseAddr(a.cfg.Host); err == nil && !host.IsUnspecified() {
		return "http://" + net.JoinHostPort(host.String(), port), nil
	}
	if !m.Address.IsValid() {
		return "", &registry.RefusalError{Why: "nobody knows the machine's address; boot it from the network"}
	}
	// A UDP socket that is connected has an address of ours, and nothing is sent.
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.Address, 9)))
	if err != nil {
		return "", &registry.RefusalError{Why: fmt.Sprintf("this server has no way to the machine at %s: %v", m.Address, err)}
	}
	defer conn.Close()
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return "http://" + net.JoinHostPort(local.WithZone("").String(), port), nil
}
