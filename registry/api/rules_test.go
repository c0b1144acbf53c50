package api_test

import (
	"net/http"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/registrytest"
)

func TestRules(t *testing.T) {
	s := serveEquipped(t, registrytest.Memory(), registry.Tools{Catalogue: []registry.OS{{ID: "debian-12"}}})
	reply, err := s.agent().Register(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/rules"
	const one = `{"rules":[{"name":"rack 1","match":{"vendor":"acme","bmc":false},"set":{"name_pattern":"rack1-{n:2}","tags":["gpu"],"os":"debian-12","auto_deploy":false}}]}`
	for _, step := range []struct {
		method, path, body, ifMatch string
		status                      int
		etag, want                  string // a part of the answer
	}{
		{"GET", path, "", "", 200, `"0"`, `"rules":[]`},
		{"PUT", path, one, `"1"`, 412, "", "rules changed after version 1 was read"},
		{"PUT", path, one, `"0"`, 200, `"1"`, `"name":"rack 1"`},
		{"PUT", path, one, `"0"`, 412, "", "rules is at version 1 and version 0 was read"},
		{"PUT", path, strings.Replace(one, "{", `{"version":7,`, 1), "", 409, "", "rules is at version 1 and version 7 was read"},
		{"PUT", path, strings.Replace(one, "{", `{"version":1,`, 1), "", 200, `"1"`, `"version":1`},
		{"PUT", path, strings.Replace(one, "gpu", "lab", 1), `"1"`, 200, `"2"`, `"lab"`},
		{"GET", path, "", "", 200, `"2"`, `"rules":[{"name":"rack 1","match":{"vendor":"acme","bmc":false},"set":{`},
		{"PUT", path, `{"rules":[{"name":"x","match":{"subnet":"192.0.2.7/24"},"set":{"owner":"lab"}}]}`, "", 422, "", `"pointer":"/rules/0/match/subnet"`},
		{"PUT", path, `{"rules":[{"name":"x","set":{"name_pattern":"a-{seral}"}}]}`, "", 422, "", "did you mean {serial}?"},
		{"PUT", path, strings.Replace(one, `"os":"debian-12","auto_deploy":false`, `"auto_deploy":true`, 1), "", 422, "", "/rules/0/set/auto_deploy"},
		{"PUT", path, strings.Replace(one, `"vendor"`, `"vendr"`, 1), "", 422, "", "/rules/0/match/vendr"},
		{"PUT", path, `{"rules":[{"name":7,"set":{}}]}`, "", 422, "", "/rules/0/name"},
		{"PUT", path, `{"rules":null}`, "", 422, "", "/rules"},
		{"PUT", path, `{}`, "", 422, "", "rules"},
		{"PUT", path, ``, "", 400, "", "body"},
		{"PUT", path, `{"rules":[` + strings.Repeat(`{"name":"x","set":{"owner":"lab"}},`, 300) + `{"name":"x","set":{"owner":"lab"}}]}`, "", 422, "", "/rules"},
		{"PUT", path, `{"rules":[{"name":"` + strings.Repeat("x", 2<<20) + `"}]}`, "", 413, "", "large"},
		{"POST", path + "/test", `{"machine":"` + reply.Name + `"}`, "", 200, "", `"name":"rack1-01","tags":["lab"],"assigned_os":"debian-12"`},
		{"POST", path + "/test", `{"machine":"` + reply.ID + `","rules":[{"name":"x","match":{"vendor":"HP*"},"set":{"owner":"lab"}}]}`, "", 200, "",
			`"verdicts":[{"rule":"x","applies":false,"because":"its vendor is \"Acme\""}]`},
		{"POST", path + "/test", `{"machine":"` + reply.ID + `","rules":[]}`, "", 200, "", `"verdicts":[],"name":"` + reply.Name},
		{"POST", path + "/test", `{"machine":"` + reply.ID + `","rules":[{"name":"x","set":{}}]}`, "", 422, "", "sets nothing"},
		{"POST", path + "/test", `{"machine":"nobody"}`, "", 404, "", "not found"},
		{"PATCH", "/api/v1/machines/" + reply.ID, `{"assigned_os":"Debian 12"}`, "", 422, "", "/assigned_os"},
		{"PATCH", "/api/v1/machines/" + reply.ID, `{"assigned_os":"debain-12"}`, "", 422, "", `"pointer":"/assigned_os","message":"operating system \"debain-12\": not found; did you mean debian-12? ` + "`dragonfly os list` has"},
		{"POST", "/api/v1/machines/bulk", `{"machines":["` + reply.ID + `"],"action":"edit","edit":{"assigned_os":"debain-12"}}`, "", 422, "", `"pointer":"/edit/assigned_os","message":"operating system`},
		{"PATCH", "/api/v1/machines/" + reply.ID, `{"assigned_os":"debian-12"}`, "", 200, "", `"assigned_os":"debian-12"`},
		{"GET", "/api/v1/machines?filter=os:debian-12", "", "", 200, "", reply.ID},
		{"GET", "/api/v1/machines?filter=-os:debian-12", "", "", 200, "", `"machines":[]`},
	} {
		status, etag, body := s.call(t, step.method, step.path, step.body, "If-Match", step.ifMatch)
		if status != step.status || step.etag != "" && etag != step.etag || !strings.Contains(body, step.want) {
			t.Errorf("%s %s %.200s: %d %s %s; want %d with %s", step.method, step.path, step.body, status, etag, body, step.status, step.want)
		}
	}
	if m, err := (&api.Client{Base: s.URL}).Machine(t.Context(), reply.ID); err != nil || m.Name != reply.Name || m.Tags != nil {
		t.Errorf("a test of rules changed the machine: %+v, %v", m, err)
	}
	client := &api.Client{Base: s.URL}
	rules, err := client.Rules(t.Context())
	if err != nil || len(rules.Rules) != 1 || rules.Version != 2 {
		t.Fatalf("%+v, %v", rules, err)
	}
	rules.Version, rules.Rules = 1, nil
	if _, err := client.SetRules(t.Context(), rules); api.Status(err) != http.StatusUnprocessableEntity {
		t.Errorf("rules that are not there: %v", err)
	}
}
