package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// beside are the routes under no /api/ that are for programs: probes, metrics and
// the document itself. What else is not in the document is a page.
var beside = []string{"/healthz", "/readyz", "/metrics", "/openapi"}

// Every route of the API is in the document, with the role it needs, and every
// operation of the document is routed.
func TestEveryRouteIsDocumented(t *testing.T) {
	router, _ := unserved(t).gated()
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]struct {
			Role string `json:"x-role"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	pages := pagePolicy()
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		op, documented := doc.Paths[route][strings.ToLower(method)]
		_, page := pages[method+" "+route]
		other := strings.HasPrefix(route, "/login/oidc")
		for _, prefix := range beside {
			other = other || strings.HasPrefix(route, prefix)
		}
		if documented == (page || other) || strings.HasPrefix(route, "/api/") != documented {
			t.Errorf("%s %s: in the document: %v, a page: %v", method, route, documented, page)
		}
		if want := ruleOf(method, route); documented && op.Role != want {
			t.Errorf("%s %s: the document says %q, the policy %q", method, route, op.Role, want)
		}
		delete(doc.Paths[route], strings.ToLower(method))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			t.Errorf("%s %s is in the document and not routed", method, path)
		}
	}
}

// The page of the API has every operation of the document, and loads nothing from
// elsewhere.
func TestDocsPage(t *testing.T) {
	r := start(t, testConfig(t))
	_, document := r.get(t, "/openapi.json")
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	code, page := r.get(t, "/docs")
	if elsewhere := regexp.MustCompile(`(src|href)="(https?:)?//`).FindString(page); code != http.StatusOK || elsewhere != "" {
		t.Errorf("%d, and an address elsewhere: %s", code, elsewhere)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if !strings.Contains(page, `id="`+op.OperationID+`"`) || !strings.Contains(page, "<code>"+path+"</code>") {
				t.Errorf("%s %s is not on the page", method, path)
			}
		}
	}
}
