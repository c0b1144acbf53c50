package ui

import (
	"net/http"
	"strings"
	"time"

	"dragonfly/registry"
)

// onceOrder is the form that boots a machine into something, once.
type onceOrder struct {
	Machine           row
	Kind              registry.DeploymentKind
	Keys, ISO, Script string
	Faults            faults
}

func (u *UI) onceForm(w http.ResponseWriter, r *http.Request) error {
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	return u.showOnce(w, r, m, onceOrder{Kind: registry.KindRescue, Script: "#!ipxe\n"}, http.StatusOK)
}

// once orders what the form says.
func (u *UI) once(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	m, err := u.Records.Machine(r.Context(), r.PathValue("id"))
	if err != nil {
		return u.gone(err, r.PathValue("id"))
	}
	o := onceIn(r)
	if !o.Kind.OneShot() {
		o.Faults = faults{"kind": {"Choose what is to be booted."}}
		return u.showOnce(w, r, m, o, http.StatusUnprocessableEntity)
	}
	made, err := u.Orders.Deploy(r.Context(), m.ID, o.request(), registry.Batch{})
	if err == nil {
		http.Redirect(w, r, "/deployments/"+made.Deployment.ID, http.StatusSeeOther)
		return nil
	}
	if o.Faults = faultsOf(err, onceField); o.Faults == nil {
		return err
	}
	status, _ := refusal(err)
	return u.showOnce(w, r, m, o, status)
}

func (u *UI) showOnce(w http.ResponseWriter, r *http.Request, m registry.Machine, o onceOrder, status int) error {
	o.Machine = rowOf(m, note{}, time.Now())
	f := u.frame(r, "Boot "+m.Name+" once")
	f.Still = true
	return render(w, r, status, oncePage(f, o))
}

// onceIn is the form as it was sent. Browsers end the lines of a text with CR LF.
func onceIn(r *http.Request) onceOrder {
	script := strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("script"), "\r\n", "\n"))
	return onceOrder{Kind: registry.DeploymentKind(r.PostFormValue("kind")), Keys: strings.TrimSpace(r.PostFormValue("keys")),
		ISO: strings.TrimSpace(r.PostFormValue("iso")), Script: script + "\n"}
}

// request asks for what the kind needs: what else stands in the form is not for it.
func (o onceOrder) request() registry.DeployRequest {
	req := registry.DeployRequest{Kind: o.Kind}
	switch o.Kind {
	case registry.KindRescue:
		req.Seed.SSHKeys = keysIn(o.Keys)
	case registry.KindISO:
		req.ISO = o.ISO
	case registry.KindScript:
		req.Script = o.Script
	}
	return req
}

// onceField is the field that a pointer of a request belongs to.
func onceField(pointer string) string {
	for prefix, name := range map[string]string{"/kind": "kind", "/seed/ssh_keys": "keys", "/iso": "iso", "/script": "script"} {
		if strings.HasPrefix(pointer, prefix) {
			return name
		}
	}
	return ""
}
