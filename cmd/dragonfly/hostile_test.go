package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"dragonfly/registry"
)

// hostile are texts that somebody may send to see what breaks.
var hostile = map[string]string{
	"SQL":         "'; DROP TABLE machines; --",
	"SQL's blob":  "x'41424344'",
	"FTS":         `" OR text MATCH * NEAR(a b) ^"`,
	"LIKE":        `%_\%`,
	"NUL":         "a\x00b",
	"control":     "a\x1b[31mb\r\nSet-Cookie: x=y",
	"not UTF-8":   "\xff\xfe\xc3",
	"markup":      "<img src=x onerror=alert(1)>",
	"a path":      "../../../etc/passwd",
	"a format":    "%s%n%!d(MISSING)",
	"a megabyte":  strings.Repeat("a", 1<<20),
	"a separator": "a\u2028\u202eb",
	"a megaslash": strings.Repeat("/", 1<<16),
}

// bodies are wrong for every operation.
var bodies = map[string]string{
	"nothing":        "",
	"half an object": `{"name":`,
	"null":           "null",
	"a list":         "[]",
	"a list of it":   "[{}]",
	"a text":         `"text"`,
	"a number":       "7",
	"two objects":    "{}{}",
	"unknown member": `{"no_such_member":1}`,
	"not UTF-8":      "{\"\xff\":1}",
	"deep":           strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
	"deep lists":     strings.Repeat("[", 1_000_000),
	"huge":           `{"a":"` + strings.Repeat("a", 11<<20) + `"}`,
	"a form":         "name=x&role=admin",
}

// wrongTypes are values, one of which is wrong for any member.
var wrongTypes = []string{`{"a":{"b":[{}]}}`, `[[[]]]`, `1e400`, `-9223372036854775809`, `true`, `[1,{"a":2},null]`}

// An operation as the document has it.
type documented struct {
	Parameters []struct {
		Name, In string
		Required bool
	}
	RequestBody *struct {
		Content map[string]struct{ Schema schemaRef }
	}
}

type schemaRef struct {
	Ref        string `json:"$ref"`
	Properties map[string]any
}

// TestHostileInput sends rubbish to every operation of the operators: in each
// parameter, in each member of the body, and as the body. What is no good is refused
// with a problem, nothing is changed, and nothing is our fault.
func TestHostileInput(t *testing.T) {
	a := unserved(t)
	router, _ := a.gated()
	if _, _, err := a.registry.Register(t.Context(), registry.Registration{MAC: registry.MAC{2, 0, 0, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var doc struct {
		Paths      map[string]map[string]documented
		Components struct{ Schemas map[string]schemaRef }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	before, sent := a.everything(t), 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if strings.HasPrefix(path, "/api/v1/agent/") {
				continue
			}
			for _, attack := range attacks(strings.ToUpper(method), path, op, doc.Components.Schemas) {
				attack.check(t, router)
				sent++
			}
			if after := a.everything(t); after != before {
				t.Fatalf("%s %s changed something: %s, was %s", method, path, after, before)
			}
		}
	}
	t.Logf("%d requests", sent)
	if sent < 1000 {
		t.Errorf("only %d requests were sent", sent)
	}
}

// everything is what would show that something was changed.
func (a *appliance) everything(t *testing.T) string {
	t.Helper()
	last, errEvents := a.store.LastEvent(t.Context())
	audit, errAudit := a.store.Audit(t.Context(), "", 0, 1000)
	_, accounts, errAccounts := a.store.Directory(t.Context(), -1)
	rules, errRules := a.store.Rules(t.Context())
	defaults, errDefaults := a.store.Defaults(t.Context())
	machines, errMachines := a.store.Machines(t.Context(), registry.Query{})
	for _, err := range []error{errEvents, errAudit, errAccounts, errRules, errDefaults, errMachines} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("event %d, %d audit entries, accounts %d, rules %d, defaults %d, %d machines", last, len(audit), accounts, rules.Version, defaults.Version, len(machines))
}

// attack is one hostile request. One that only reads may be answered.
type attack struct {
	method, path, body, why string
	query                   url.Values
	header                  http.Header
	mayAnswer               bool
}

func attacks(method, path string, op documented, schemas map[string]schemaRef) (all []attack) {
	plain := parameter.ReplaceAllString(path, "no-such-thing")
	for _, p := range op.Parameters {
		for name, text := range hostile {
			a := attack{method: method, path: plain, why: p.In + " " + p.Name + ": " + name, mayAnswer: method == http.MethodGet}
			switch p.In {
			case "path":
				a.path = parameter.ReplaceAllString(path, strings.ReplaceAll(url.PathEscape(text), "$", "$$"))
				a.mayAnswer = false
			case "query":
				a.query = url.Values{p.Name: {text}}
			case "header":
				a.header = http.Header{http.CanonicalHeaderKey(p.Name): {text}}
			}
			if op.RequestBody != nil {
				a.body = "{}"
			}
			// A write to what is there is no attack.
			if p.In == "path" || method == http.MethodGet || strings.Contains(path, "{") {
				all = append(all, a)
			}
		}
	}
	if op.RequestBody == nil {
		return all
	}
	for name, body := range bodies {
		all = append(all, attack{method: method, path: plain, body: body, why: "the body is " + name})
	}
	schema := op.RequestBody.Content["application/json"].Schema
	if schema.Ref != "" {
		schema = schemas[strings.TrimPrefix(schema.Ref, "#/components/schemas/")]
	}
	for _, member := range slices.Sorted(maps.Keys(schema.Properties)) {
		for _, value := range wrongTypes {
			all = append(all, attack{method: method, path: plain, body: fmt.Sprintf(`{%q:%s}`, member, value), why: member + " is " + value})
		}
		for name, text := range hostile {
			if member == "password" && method == http.MethodPut {
				continue // may be any text
			}
			value, _ := json.Marshal(text)
			all = append(all, attack{method: method, path: plain, body: fmt.Sprintf(`{%q:%s}`, member, value), why: member + " is " + name})
		}
	}
	return all
}

// check sends the request, as an administrator.
func (a attack) check(t *testing.T, router chi.Router) {
	t.Helper()
	r := httptest.NewRequest(a.method, "http://10.0.0.2:3000"+a.path, strings.NewReader(a.body))
	r.URL.RawQuery = a.query.Encode()
	r.Header.Set("Content-Type", "application/json")
	maps.Copy(r.Header, a.header)
	r = r.WithContext(registry.WithActor(t.Context(), registry.Actor{Name: "eve", Role: string(registry.Admin)}))
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	where := fmt.Sprintf("%s %.80s, %.80s", a.method, a.path, a.why)
	switch {
	case w.Code >= 500 || w.Code < 400 && !a.mayAnswer:
		t.Errorf("%s: %d %.300s", where, w.Code, w.Body)
	case w.Code >= 400 && w.Code != http.StatusNotFound && w.Header().Get("Content-Type") != "application/problem+json":
		t.Errorf("%s: %d as %s: %.300s", where, w.Code, w.Header().Get("Content-Type"), w.Body)
	case w.Body.Len() > 64<<10 && w.Code >= 400:
		t.Errorf("%s: a problem of %d bytes", where, w.Body.Len())
	}
}
