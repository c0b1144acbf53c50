package auth

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"dragonfly/registry"
)

// Policy is the least role of every route, by method and pattern, such as
// "GET /api/v1/machines/{id}". A route that is not in it is refused.
type Policy map[string]Rule

// Rule says who may use a route: a role and those above it, or one of the three
// exceptions.
type Rule registry.Role

// The rules. Of the three that are no roles, Everybody is for what is needed
// before somebody is known, Recognised for what answers everybody and tells those
// more who are known, and Agents for routes that check the tokens of machines
// themselves.
const (
	Everybody  = Rule("everybody")
	Recognised = Rule("recognised")
	Agents     = Rule("agents")
	Viewer     = Rule(registry.Viewer)
	Operator   = Rule(registry.Operator)
	Admin      = Rule(registry.Admin)
)

// of returns the rule for a route. What may be read may be asked for with HEAD.
func (p Policy) of(method, pattern string) (Rule, bool) {
	rule, listed := p[method+" "+pattern]
	if !listed && method == http.MethodHead {
		rule, listed = p[http.MethodGet+" "+pattern]
	}
	return rule, listed
}

// Scopes are what an API token may be limited to, sorted: the parts of the API that
// somebody with a role may use.
func (p Policy) Scopes() []string {
	found := map[string]bool{}
	for route, rule := range p {
		_, pattern, _ := strings.Cut(route, " ")
		if scope := scopeOf(pattern); scope != "" && registry.Role(rule).Known() {
			found[scope] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// scopeOf is the part of the API that a route is of, such as "machines" for all below
// /api/v1/machines. Pages, which people look at, are of none.
func scopeOf(pattern string) string {
	if pattern == "/metrics" {
		return "metrics"
	}
	rest, ok := strings.CutPrefix(pattern, "/api/v1/")
	if !ok {
		return ""
	}
	scope, _, _ := strings.Cut(rest, "/")
	return scope
}
