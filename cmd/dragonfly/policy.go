package main

import (
	"maps"

	"dragonfly/registry/auth"
)

// policy is who may use which route. A route that is missing here answers nobody;
// TestEveryRoute names it.
func policy() auth.Policy {
	all := pagePolicy()
	maps.Copy(all, auth.Policy{
		"GET /healthz": auth.Everybody,
		"GET /readyz":  auth.Recognised, // why it is not ready is for viewers
		"GET /metrics": auth.Viewer,

		"POST /api/v1/agent/register": auth.Agents,
		"GET /api/v1/agent/next":      auth.Agents,

		"POST /api/v1/agent/deployment/claim":  auth.Agents,
		"POST /api/v1/agent/deployment/report": auth.Agents,

		"GET /api/v1/machines":                   auth.Viewer,
		"GET /api/v1/machines/{id}":              auth.Viewer,
		"PATCH /api/v1/machines/{id}":            auth.Operator,
		"DELETE /api/v1/machines/{id}":           auth.Operator,
		"POST /api/v1/machines/bulk":             auth.Operator,
		"POST /api/v1/machines/import":           auth.Operator,
		"POST /api/v1/machines/{id}/retire":      auth.Operator,
		"POST /api/v1/machines/{id}/restore":     auth.Operator,
		"POST /api/v1/machines/{id}/merge":       auth.Operator,
		"PUT /api/v1/machines/{id}/lock":         auth.Operator,
		"DELETE /api/v1/machines/{id}/lock":      auth.Operator,
		"POST /api/v1/machines/{id}/instruction": auth.Operator,
		"GET /api/v1/machines/{id}/timeline":     auth.Viewer,
		"GET /api/v1/machines/{id}/history":      auth.Viewer,
		"POST /api/v1/machines/{id}/deploy":      auth.Operator,
		"GET /api/v1/deployments":                auth.Viewer,
		"POST /api/v1/deployments":               auth.Operator,
		"GET /api/v1/deployments/{id}":           auth.Viewer,
		"GET /api/v1/deployments/{id}/log":       auth.Viewer,
		"GET /api/v1/deployments/{id}/template":  auth.Operator, // it has secrets
		"POST /api/v1/deployments/{id}/cancel":   auth.Operator,
		"POST /api/v1/deployments/{id}/retry":    auth.Operator,
		"GET /api/v1/oses":                       auth.Viewer,
		"GET /api/v1/oses/{id}":                  auth.Viewer,
		"PUT /api/v1/oses/{id}":                  auth.Operator,
		"PATCH /api/v1/oses/{id}":                auth.Operator,
		"DELETE /api/v1/oses/{id}":               auth.Operator,
		"GET /api/v1/rules":                      auth.Viewer,
		"PUT /api/v1/rules":                      auth.Admin,
		"POST /api/v1/rules/test":                auth.Viewer,
		"GET /api/v1/defaults":                   auth.Viewer, // without hashes of passwords
		"PUT /api/v1/defaults":                   auth.Admin,
		"GET /api/v1/export":                     auth.Viewer,
		"POST /api/v1/apply":                     auth.Operator, // with rules in it, an admin
		"GET /api/v1/events":                     auth.Viewer,
		"GET /api/v1/explain/{mac}":              auth.Viewer,
		"GET /api/v1/network":                    auth.Viewer,
		"POST /api/v1/network/probe":             auth.Operator,
		"GET /api/v1/tinkerbell/hardware":        auth.Viewer,
		"GET /api/v1/tinkerbell/templates":       auth.Viewer,

		"GET " + auth.OIDCBeginPath:  auth.Everybody,
		"GET " + auth.OIDCFinishPath: auth.Everybody,

		"POST /api/v1/setup":          auth.Everybody,
		"GET /api/v1/me":              auth.Viewer,
		"PUT /api/v1/me/password":     auth.Viewer,
		"DELETE /api/v1/me/sessions":  auth.Viewer,
		"GET /api/v1/users":           auth.Admin,
		"PUT /api/v1/users/{name}":    auth.Admin,
		"DELETE /api/v1/users/{name}": auth.Admin,
		"GET /api/v1/tokens":          auth.Viewer, // one's own
		"POST /api/v1/tokens":         auth.Viewer,
		"DELETE /api/v1/tokens/{id}":  auth.Viewer,
		"GET /api/v1/audit":           auth.Operator,
		"GET /api/v1/journal":         auth.Operator,
		"GET /api/v1/backup":          auth.Admin, // it has every secret, and the key to them
		"GET /api/v1/backup/last":     auth.Viewer,
		"PUT /api/v1/backup/last":     auth.Admin,

		"GET /api/v1/cluster":               auth.Viewer,
		"POST /api/v1/cluster/tokens":       auth.Admin,
		"DELETE /api/v1/cluster/nodes/{id}": auth.Admin,

		"GET /api/v1/images":                  auth.Viewer,
		"POST /api/v1/images":                 auth.Operator,
		"POST /api/v1/images/gc":              auth.Operator,
		"GET /api/v1/images/{name}":           auth.Viewer,
		"DELETE /api/v1/images/{name}":        auth.Operator,
		"POST /api/v1/images/{name}/verify":   auth.Operator,
		"GET /api/v1/images/jobs/{id}":        auth.Viewer,
		"DELETE /api/v1/images/jobs/{id}":     auth.Operator,
		"GET /api/v1/images/uploads/{sha256}": auth.Viewer,
		"PUT /api/v1/images/uploads/{sha256}": auth.Operator,

		"GET /openapi.json":     auth.Viewer,
		"GET /openapi.yaml":     auth.Viewer,
		"GET /openapi-3.0.json": auth.Viewer,
		"GET /openapi-3.0.yaml": auth.Viewer,
	})
	return all
}

// pagePolicy is the pages of the UI. One that is missing here is not routed.
func pagePolicy() auth.Policy {
	return auth.Policy{
		"GET /":              auth.Viewer,
		"GET /static/*":      auth.Everybody, // what the sign-in page is made of
		"GET /login":         auth.Everybody,
		"POST /login":        auth.Everybody,
		"POST /logout":       auth.Everybody,
		"GET /setup":         auth.Everybody, // the form of the setup link
		"POST /setup":        auth.Everybody,
		"GET /machines":      auth.Viewer,
		"GET /machines/rows": auth.Viewer,
		"GET /live":          auth.Viewer,

		"GET /palette":           auth.Viewer,
		"GET /machines/count":    auth.Viewer,
		"GET /machines/complete": auth.Viewer,
		"POST /machines/columns": auth.Viewer, // one's own
		"POST /machines/views":   auth.Viewer,

		"GET /machines/{id}":         auth.Viewer,
		"GET /machines/{id}/live":    auth.Viewer,
		"POST /machines/{id}/lock":   auth.Operator,
		"POST /machines/{id}/unlock": auth.Operator,
		"GET /machines/{id}/deploy":  auth.Operator,
		"POST /machines/{id}/deploy": auth.Operator,
		"GET /machines/{id}/once":    auth.Operator,
		"POST /machines/{id}/once":   auth.Operator,
		"GET /machines/{id}/edit":    auth.Operator,
		"POST /machines/{id}/edit":   auth.Operator,
		"GET /machines/{id}/inline":  auth.Viewer, // who is told why not
		"POST /machines/{id}/inline": auth.Operator,
		"POST /machines/bulk":        auth.Operator,
		"POST /undo":                 auth.Operator,

		"GET /machines/{id}/end/{end}":  auth.Operator,
		"POST /machines/{id}/end/{end}": auth.Operator,

		"GET /deployments":              auth.Viewer,
		"GET /deployments/live":         auth.Viewer,
		"GET /deployments/{id}":         auth.Viewer,
		"GET /deployments/{id}/live":    auth.Viewer,
		"GET /deployments/{id}/cancel":  auth.Operator,
		"POST /deployments/{id}/cancel": auth.Operator,
		"GET /deployments/{id}/retry":   auth.Operator,
		"POST /deployments/{id}/retry":  auth.Operator,

		"GET /first":      auth.Viewer,
		"GET /first/live": auth.Viewer,

		"GET /network":        auth.Viewer,
		"GET /network/part":   auth.Viewer,
		"POST /network/probe": auth.Operator,

		"GET /health":      auth.Viewer,
		"GET /health/part": auth.Viewer,
		"GET /audit":       auth.Operator,

		"GET /systems":              auth.Viewer,
		"GET /systems/part":         auth.Viewer,
		"GET /systems/new":          auth.Operator,
		"POST /systems/new":         auth.Operator,
		"GET /systems/{id}":         auth.Viewer,
		"POST /systems/{id}":        auth.Operator,
		"POST /systems/{id}/fetch":  auth.Operator,
		"POST /systems/{id}/enable": auth.Operator,
		"GET /systems/{id}/delete":  auth.Operator,
		"POST /systems/{id}/delete": auth.Operator,

		"GET /images/new":               auth.Operator,
		"POST /images/new":              auth.Operator,
		"GET /images/jobs":              auth.Viewer,
		"POST /images/{name}/verify":    auth.Operator,
		"GET /images/{name}/delete":     auth.Operator,
		"POST /images/{name}/delete":    auth.Operator,
		"GET /images/gc":                auth.Operator,
		"POST /images/gc":               auth.Operator,
		"POST /images/jobs/{id}/cancel": auth.Operator,

		"GET /settings":                     auth.Viewer,
		"POST /settings/password":           auth.Viewer,
		"POST /settings/sessions/end":       auth.Viewer,
		"GET /settings/tokens":              auth.Viewer, // one's own
		"POST /settings/tokens":             auth.Viewer,
		"GET /settings/tokens/{id}/revoke":  auth.Viewer,
		"POST /settings/tokens/{id}/revoke": auth.Viewer,
		"GET /settings/rules":               auth.Viewer,
		"POST /settings/rules":              auth.Admin,
		"GET /settings/rules/edit":          auth.Admin,
		"POST /settings/rules/edit":         auth.Admin,
		"GET /settings/rules/delete":        auth.Admin,
		"POST /settings/rules/delete":       auth.Admin,

		"GET /settings/defaults":  auth.Viewer,
		"POST /settings/defaults": auth.Admin,

		"GET /settings/users":         auth.Admin,
		"POST /settings/users":        auth.Admin,
		"GET /settings/users/{name}":  auth.Admin,
		"POST /settings/users/{name}": auth.Admin,

		"GET /settings/users/{name}/delete":  auth.Admin,
		"POST /settings/users/{name}/delete": auth.Admin,

		"GET /docs": auth.Viewer,
	}
}

// ruleOf is the least role for a route of the API.
func ruleOf(method, path string) string { return string(policy()[method+" "+path]) }
