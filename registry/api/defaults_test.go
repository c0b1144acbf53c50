package api_test

import (
	"net/http"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

const hashOfAna = "$6$rounds=500000$q0NJxFJV.ImPIIaY$V1GBzsKZ3pjL5lXKhG6TA.pqvdpOioMxfC78HH35WsFeh6uiBJYy96kMRJ1AtKGctVQkwVn0GqdW27uv.h92C."

const yamlDefaults = "apiVersion: dragonfly/v1\nkind: Defaults\ntimezone: UTC\nssh_keys:\n- \"https://github.com/ana.keys\"\nnetwork:\n  ethernets:\n  - name: lan0\n" +
	"  vlans:\n  - name: lan0.42\n    id: 42\n    \"on\": lan0\n    dhcp4: true\n    mtu: 9000\nuser_data: |\n  #cloud-config\n  locale: de_AT.UTF-8\n"

func TestDefaults(t *testing.T) {
	s := deploying(t)
	const path = "/api/v1/defaults"
	const one = `{"timezone":"UTC","users":[{"name":"ana","password_hash":"` + hashOfAna + `"}],"network":{"ethernets":[{"dhcp4":true}]}}`
	for _, step := range []struct {
		method, body, ifMatch string
		status                int
		etag, want            string // a part of the answer
	}{
		{"GET", "", "", 200, `"0"`, `{}`},
		{"PUT", one, `"1"`, 412, "", "defaults changed after version 1 was read"},
		{"PUT", one, `"0"`, 200, `"1"`, `{"version":1,"timezone":"UTC","users":[{"name":"ana","password_hash":"kept"}],"network":{"ethernets":[{"dhcp4":true}]}}`},
		{"PUT", one, `"0"`, 412, "", "defaults is at version 1 and version 0 was read"},
		{"PUT", strings.Replace(one, "{", `{"version":7,`, 1), "", 409, "", "defaults is at version 1 and version 7 was read"},
		{"PUT", strings.Replace(one, hashOfAna, "kept", 1), `"1"`, 200, `"1"`, `"password_hash":"kept"`},
		{"PUT", strings.Replace(one, "UTC", "Europe/Vienna", 1), `"1"`, 200, `"2"`, `"timezone":"Europe/Vienna"`},
		{"GET", "", "", 200, `"2"`, `"password_hash":"kept"`},
		{"PUT", `{"users":[{"name":"ben","password_hash":"kept"}]}`, "", 422, "", `"pointer":"/users/0/password_hash"`},
		{"PUT", `{"hostname":"elk"}`, "", 422, "", `"pointer":"/hostname"`},
		{"PUT", `{"network":{"ethernets":[{"mac":"52:54:00:12:34:56"}]}}`, "", 422, "", `"pointer":"/network/ethernets/0/mac"`},
		{"PUT", `{"timezon":"UTC"}`, "", 422, "", "/timezon"},
		{"PUT", `{"stale":true}`, "", 422, "", "read it again"},
		{"PUT", `{"packages":[7]}`, "", 422, "", "/packages/0"},
		{"PUT", ``, "", 400, "", "body"},
		{"PUT", `{"user_data":"` + strings.Repeat("x", 2<<20) + `"}`, "", 413, "", "large"},
	} {
		status, etag, body := s.call(t, step.method, path, step.body, "If-Match", step.ifMatch)
		if status != step.status || step.etag != "" && etag != step.etag || !strings.Contains(body, step.want) || strings.Contains(body, "$6$") {
			t.Errorf("%s %.200s: %d %s %s; want %d with %s", step.method, step.body, status, etag, body, step.status, step.want)
		}
	}
	client := &api.Client{Base: s.URL}
	d, err := client.Defaults(t.Context())
	if err != nil || d.Version != 2 || d.Timezone != "Europe/Vienna" {
		t.Fatalf("%+v, %v", d, err)
	}
	d.Version = 1
	if _, err := client.SetDefaults(t.Context(), d); api.Status(err) != http.StatusConflict {
		t.Errorf("a stale version: %v", err)
	}
}

// What is exported of one appliance makes another the same.
func TestExportAndApplyDefaults(t *testing.T) {
	a, b := deploying(t), deploying(t)
	as := func(s *server, who string) *api.Client {
		return &api.Client{Base: s.URL, HTTP: &http.Client{Transport: asActor(who)}}
	}
	if _, err := as(a, "otto operator").Apply(t.Context(), []byte(yamlDefaults), api.Apply{}); api.Status(err) != http.StatusForbidden || !strings.Contains(err.Error(), "the defaults need the role admin") {
		t.Errorf("an operator: %v", err)
	}
	if reply, err := as(a, "ana admin").Apply(t.Context(), []byte(yamlDefaults), api.Apply{}); err != nil || reply.Edited != 1 || reply.Results[0].Kind != "Defaults" {
		t.Fatalf("%+v, %v", reply, err)
	}
	text := a.exported(t, api.Export{})
	if text != yamlDefaults {
		t.Errorf("exported:\n%s", text)
	}
	if only := a.exported(t, api.Export{Only: []string{api.Machines, api.RulesSet}}); only != "" {
		t.Errorf("without the defaults: %s", only)
	}
	if reply, err := as(b, "ana admin").Apply(t.Context(), []byte(text), api.Apply{}); err != nil || reply.Edited != 1 {
		t.Fatalf("%+v, %v", reply, err)
	}
	if again := b.exported(t, api.Export{Only: []string{api.DefaultsSet}}); again != text {
		t.Errorf("exported again:\n%s", again)
	}
	if reply, err := as(b, "ana admin").Apply(t.Context(), []byte(text), api.Apply{}); err != nil || reply.Unchanged != 1 {
		t.Errorf("again: %+v, %v", reply, err)
	}
	kept := yamlDefaults + "users:\n- name: ana\n  password_hash: kept\n"
	reply, err := as(b, "ana admin").Apply(t.Context(), []byte(kept), api.Apply{})
	if err != nil || reply.Refused != 1 || reply.Results[0].Problem == nil || reply.Results[0].Problem.Status != http.StatusUnprocessableEntity || !strings.Contains(reply.Results[0].Problem.Error(), "no hash of a password") {
		t.Errorf("a hash that is not here: %+v, %v", reply, err)
	}
	if d, err := as(b, "ana admin").Defaults(t.Context()); err != nil || d.Version != 1 || d.Network.VLANs[0].Link.MTU != 9000 || d.Network.Ethernets[0].MAC != (registry.MAC{}) {
		t.Errorf("%+v, %v", d, err)
	}
}

// What was changed of the catalogue is exported, and an operator may apply it.
func TestExportAndApplyCatalogue(t *testing.T) {
	a, b := deploying(t), deploying(t)
	operator := func(s *server) *api.Client {
		return &api.Client{Base: s.URL, HTTP: &http.Client{Transport: asActor("otto operator")}}
	}
	const system = "apiVersion: dragonfly/v1\nkind: OperatingSystem\n"
	const mine = system + "id: mine\nname: Mine\nimages:\n  amd64:\n    url: \"http://x/y\"\n    format: raw\ntemplate: image\nfirst_boot: none\n"
	if text := a.exported(t, api.Export{}); text != "" {
		t.Errorf("what comes with the version: %s", text)
	}
	reply, err := operator(a).Apply(t.Context(), []byte(mine), api.Apply{})
	if err != nil || reply.Created != 1 || reply.Results[0].Kind != "OperatingSystem" || reply.Results[0].Name != "mine" {
		t.Fatalf("%+v, %v", reply, err)
	}
	if _, err := operator(a).EnableOS(t.Context(), "linux", false); err != nil {
		t.Fatal(err)
	}
	text := a.exported(t, api.Export{})
	if !strings.HasPrefix(text, system+"id: linux\n") || !strings.HasSuffix(text, "disabled: true\nbuiltin: true\n---\n"+mine) {
		t.Errorf("exported:\n%s", text)
	}
	if only := a.exported(t, api.Export{Only: []string{api.Machines, api.RulesSet, api.DefaultsSet}}); only != "" {
		t.Errorf("without the catalogue: %s", only)
	}
	if reply, err = operator(b).Apply(t.Context(), []byte(text), api.Apply{}); err != nil || reply.Created != 1 || reply.Edited != 1 {
		t.Fatalf("%+v, %v", reply, err)
	}
	if again := b.exported(t, api.Export{Only: []string{api.Catalogue}}); again != text {
		t.Errorf("exported again:\n%s", again)
	}
	wrong := strings.Replace(mine, "template: image", "template: imgae", 1)
	if reply, err = operator(b).Apply(t.Context(), []byte(wrong), api.Apply{}); err != nil || reply.Refused != 1 || reply.Results[0].Problem.Status != http.StatusUnprocessableEntity {
		t.Errorf("a template that is not there: %+v, %v", reply, err)
	}
}
