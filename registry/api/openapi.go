package api

import (
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// about is the start of the document.
const about = `Machines, their hardware and what happens to them.

Errors are problem documents (RFC 9457); each entry of "errors" names the field it is about by a JSON pointer. ` +
	`A POST with an Idempotency-Key is carried out once: sent again, it gets the first answer again, for two days. ` +
	`A machine has a version, which is its ETag: with If-Match a change applies to that version only. ` +
	`While the database is away, reads are answered with what was known ("stale", "as_of") and changes with 503.`

// describe puts into the document what is the same for all operations.
func describe(config *huma.Config, role func(method, path string) string) {
	config.Info.Description = about
	config.Info.License = &huma.License{Name: "AGPL-3.0-only", Identifier: "AGPL-3.0-only"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"apiToken": {Type: "http", Scheme: "bearer", BearerFormat: "df_...",
			Description: "an API token: made in the UI, with POST /api/v1/tokens or with `dragonfly token create`"},
		"session": {Type: "apiKey", In: "cookie", Name: "dragonfly",
			Description: "of who signed in at /login; over TLS it is called __Host-dragonfly. Writes from other origins are refused"},
		"agentToken": {Type: "http", Scheme: "bearer", Description: "boot or machine token of an agent"},
	}
	config.Security = []map[string][]string{{"apiToken": {}}, {"session": {}}}
	config.Tags = []*huma.Tag{
		{Name: "machines", Description: "What is known of machines, and what is decided about them"},
		{Name: "operating systems", Description: "The catalogue: what can be deployed"},
		{Name: "deployments", Description: "What is put on the disks of machines, and what became of it"},
		{Name: "rules", Description: "What a machine is given when it registers for the first time"},
		{Name: "defaults", Description: "What every deployment begins from"},
		{Name: "manifest", Description: "Machines and rules as text, to be kept in git"},
		{Name: "images", Description: "Disk images on this server, which machines are installed from"},
		{Name: "events", Description: "What happens, as it happens"},
		{Name: "users", Description: "Accounts, and who you are"},
		{Name: "tokens", Description: "API tokens, for programs"},
		{Name: "audit", Description: "Who changed what"},
		{Name: "journal", Description: "What waits for the database on this server"},
		{Name: "cluster", Description: "The hosts that share the database"},
		{Name: "agent", Description: "For the agent on a machine"},
	}
	config.OnAddOperation = append(config.OnAddOperation, func(doc *huma.OpenAPI, op *huma.Operation) {
		if role != nil {
			op.Extensions = map[string]any{"x-role": role(op.Method, op.Path)}
		}
		if op.Method == http.MethodPost && op.Security == nil {
			op.Parameters = append(op.Parameters, keyParameter())
		}
		if op.Security == nil {
			want(op, http.StatusUnauthorized, http.StatusForbidden)
		}
		if op.RequestBody != nil {
			want(op, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
		}
		want(op, http.StatusServiceUnavailable)
		describeProblems(doc, op)
	})
}

// public is the security of an operation that needs nobody to be known.
func public() []map[string][]string { return []map[string][]string{{}} }

// keyParameter is the header of an idempotent POST.
func keyParameter() *huma.Param {
	length := maxKey
	return &huma.Param{Name: keyHeader, In: "header", Example: "7f0c5c1e-5b6f-4b0e-9d3a-2f1f6a1c9c11",
		Description: "a random text: the request is carried out once, and answered alike when it is sent again; 422 when it was sent with another request, 409 while that is being carried out",
		Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: &length}}
}

// want adds answers that every such operation may give.
func want(op *huma.Operation, statuses ...int) {
	for _, status := range statuses {
		if code := strconv.Itoa(status); op.Responses[code] == nil {
			op.Responses[code] = &huma.Response{}
		}
	}
}

// reasons is what a status means here.
var reasons = map[string]string{
	"400": "not JSON, or not UTF-8",
	"401": "nobody is signed in, or the token is not good (any more)",
	"403": "the role does not allow it",
	"404": "there is none of that name",
	"409": "its state does not allow it, or somebody else was faster",
	"412": "it has another version than If-Match asks for",
	"413": "the request is too large",
	"415": "the body is of another kind than is asked for",
	"422": "something in the request is not acceptable: see errors",
	"423": "it is locked by somebody else",
	"429": "too many attempts: see Retry-After",
	"500": "our own fault, which was logged",
	"503": "the database is away: nothing was changed; see Retry-After",
	"507": "the disk of the server is too full",
}

// describeProblems says of every answer that is a problem what it means. huma has a
// form of its own for problems, which is not sent.
func describeProblems(doc *huma.OpenAPI, op *huma.Operation) {
	problem := doc.Components.Schemas.Schema(reflect.TypeFor[Error](), true, "Error")
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	for code, response := range op.Responses {
		if code != "default" && code < "400" {
			continue
		}
		if response.Description = reasons[code]; response.Description == "" {
			response.Description = "a problem"
		}
		response.Content = map[string]*huma.MediaType{problemType: {Schema: problem}}
	}
}
