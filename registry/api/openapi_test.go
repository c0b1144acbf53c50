package api_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is what the tests look at of the OpenAPI document.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string           `json:"operationId"`
		Summary     string           `json:"summary"`
		Tags        []string         `json:"tags"`
		Parameters  []described      `json:"parameters"`
		Security    []map[string]any `json:"security"`
		Responses   map[string]struct {
			Description string         `json:"description"`
			Content     map[string]any `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Tags       []struct{ Name string } `json:"tags"`
	Components struct {
		Schemas         map[string]any `json:"schemas"`
		SecuritySchemes map[string]any `json:"securitySchemes"`
	} `json:"components"`
}

type described struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

func (s *server) document(t *testing.T) (text []byte, d document) {
	t.Helper()
	_, body := s.text(t, "/openapi.json")
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	return []byte(body), d
}

// The document is one of OpenAPI 3.1, by the schema of its makers
// (spec.openapis.org/oas/3.1/schema).
func TestOpenAPIIsValid(t *testing.T) {
	text, _ := serve(t).document(t)
	file, err := os.Open("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	schema, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", schema); err != nil {
		t.Fatal(err)
	}
	openapi, err := compiler.Compile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := openapi.Validate(document); err != nil {
		t.Error(err)
	}
}

// Every reference leads somewhere, and every operation is described: what it does,
// what its parameters mean, who may use it, and what goes wrong.
func TestOpenAPIIsWhole(t *testing.T) {
	text, d := serve(t).document(t)
	for _, part := range strings.Split(string(text), `"$ref":"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if d.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
	tags := map[string]bool{}
	for _, tag := range d.Tags {
		tags[tag.Name] = true
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			where := strings.ToUpper(method) + " " + path
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || !tags[op.Tags[0]] {
				t.Errorf("%s: id %q, summary %q, tags %v", where, op.OperationID, op.Summary, op.Tags)
			}
			names := map[string]bool{}
			for _, p := range op.Parameters {
				if names[p.Name] = true; p.Description == "" {
					t.Errorf("%s: parameter %s is not described", where, p.Name)
				}
			}
			if agent := strings.Contains(path, "/agent/"); method == "post" && !agent && path != "/api/v1/setup" && !names["Idempotency-Key"] {
				t.Errorf("%s takes no Idempotency-Key", where)
			}
			for code, r := range op.Responses {
				if r.Description == "" || code >= "400" && r.Content["application/problem+json"] == nil {
					t.Errorf("%s: answer %s is %+v", where, code, r)
				}
			}
			for _, scheme := range op.Security {
				for name := range scheme {
					if d.Components.SecuritySchemes[name] == nil {
						t.Errorf("%s: there is no security scheme %s", where, name)
					}
				}
			}
		}
	}
}

func TestOpenAPIFor30(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/openapi-3.0.json", "/openapi.yaml", "/openapi-3.0.yaml"} {
		if status, body := s.text(t, path); status != http.StatusOK || !strings.Contains(body, "/api/v1/machines/bulk") {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
}
