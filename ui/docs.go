package ui

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// docs is the page of the API.
type docs struct {
	About   []string // paragraphs
	Groups  []docGroup
	Schemas []docSchema
}

type docGroup struct {
	Name, About string
	Operations  []docOperation
}

// docOperation is an operation; its ID is the anchor.
type docOperation struct {
	ID, Method, Path, Summary, About, Role string
	Parameters, Body                       []docField
	Curl                                   string
	Answers                                []docAnswer
}

// docField is a parameter, or a member of an object. To is the named schema that its
// type leads to.
type docField struct {
	Name, In, Type, To, About, Limits, Example string
	Required                                   bool
}

type docAnswer struct {
	Code, About, Type, To, Example string
}

type docSchema struct {
	Name   string
	About  string
	Fields []docField
}

// docs shows the OpenAPI document.
func (u *UI) docs(w http.ResponseWriter, r *http.Request) error {
	if u.OpenAPI == nil {
		return notFound(w, r)
	}
	text, err := u.OpenAPI()
	if err != nil {
		return err
	}
	d := &openAPI{}
	if err := json.Unmarshal(text, d); err != nil {
		return fmt.Errorf("read the OpenAPI document: %w", err)
	}
	f := u.frame(r, "API")
	f.Still = true
	return render(w, r, http.StatusOK, docsPage(f, d.view()))
}

// view is the document as the page shows it: operations by tag, then by path.
func (d *openAPI) view() docs {
	page := docs{About: strings.Split(d.Info.Description, "\n\n")}
	groups := map[string]int{}
	for _, tag := range d.Tags {
		groups[tag.Name] = len(page.Groups)
		page.Groups = append(page.Groups, docGroup{Name: tag.Name, About: tag.Description})
	}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			op, there := d.Paths[path][method]
			if !there {
				continue
			}
			tag := "other"
			if len(op.Tags) > 0 {
				tag = op.Tags[0]
			}
			at, known := groups[tag]
			if !known {
				at = len(page.Groups)
				groups[tag] = at
				page.Groups = append(page.Groups, docGroup{Name: tag})
			}
			page.Groups[at].Operations = append(page.Groups[at].Operations, d.operation(method, path, op))
		}
	}
	page.Groups = slices.DeleteFunc(page.Groups, func(g docGroup) bool { return len(g.Operations) == 0 })
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		schema := d.Components.Schemas[name]
		page.Schemas = append(page.Schemas, docSchema{Name: name, About: schema.Description, Fields: fields(schema)})
	}
	return page
}

func (d *openAPI) operation(method, path string, op apiOperation) docOperation {
	out := docOperation{ID: op.OperationID, Method: strings.ToUpper(method), Path: path, Summary: op.Summary, About: op.Description, Role: op.Role}
	for _, p := range op.Parameters {
		f := field(p.Name, p.Schema, p.Required)
		f.In, f.About = p.In, p.Description
		if p.Example != nil {
			f.Example = fmt.Sprint(p.Example)
		}
		out.Parameters = append(out.Parameters, f)
	}
	body := op.RequestBody.Content["application/json"]
	out.Body = fields(d.resolve(body.Schema))
	out.Curl = d.curl(out, op, body)
	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		out.Answers = append(out.Answers, d.answer(code, op.Responses[code].Description, op.Responses[code].Content))
	}
	return out
}

// resolve is the schema that a reference leads to.
func (d *openAPI) resolve(s apiSchema) apiSchema {
	if s.Ref != "" {
		return d.Components.Schemas[s.name()]
	}
	return s
}

func (d *openAPI) answer(code, about string, content map[string]apiContent) docAnswer {
	a := docAnswer{Code: code, About: about}
	for _, kind := range slices.Sorted(maps.Keys(content)) {
		c := content[kind]
		if a.Type, a.To = c.Schema.kind(); a.To == "" {
			a.Type = kind
		}
		if text, ok := c.Example.(string); ok {
			a.Example = text
		} else if code < "300" {
			a.Example = indented(d.example(c.Schema, 0))
		}
	}
	return a
}

// fields are the members of an object: those that must be there, then the others.
func fields(s apiSchema) (all []docField) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		all = append(all, field(name, s.Properties[name], slices.Contains(s.Required, name)))
	}
	slices.SortStableFunc(all, func(a, b docField) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return all
}

func field(name string, s apiSchema, required bool) docField {
	f := docField{Name: name, About: s.Description, Limits: s.limits(), Required: required}
	f.Type, f.To = s.kind()
	if len(s.Examples) > 0 {
		f.Example = exampleText(s.Examples[0])
	}
	return f
}

func exampleText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, _ := json.Marshal(value) // it was decoded from JSON
	return string(text)
}

func indented(value any) string {
	if value == nil {
		return ""
	}
	text, _ := json.MarshalIndent(value, "", "  ") // of plain values
	return string(text)
}

// curl is the operation as a command line.
func (d *openAPI) curl(out docOperation, op apiOperation, body apiContent) string {
	path, query := out.Path, url.Values{}
	for _, p := range out.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(p.Example))
		case p.In == "query" && p.Example != "":
			query.Set(p.Name, p.Example)
		}
	}
	line := "curl"
	if out.Method != http.MethodGet {
		line += " -X " + out.Method
	}
	if op.Role != "everybody" {
		line += ` -H "Authorization: Bearer $DRAGONFLY_TOKEN"`
	}
	if body.Schema.Ref != "" || len(body.Schema.Properties) > 0 {
		value := body.Example
		if value == nil {
			value = d.example(body.Schema, 0)
		}
		example, _ := json.Marshal(value) // of plain values
		line += " \\\n  -H 'Content-Type: application/json' -d '" + strings.ReplaceAll(string(example), "'", `'\''`) + "'"
	}
	if _, ok := op.RequestBody.Content["application/yaml"]; ok {
		line += " \\\n  -H 'Content-Type: application/yaml' --data-binary @dragonfly.yaml"
	}
	target := `"$DRAGONFLY_SERVER` + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	return line + " \\\n  " + target + `"`
}

// span is a piece of text; Code is what stood between backticks.
type span struct {
	Text string
	Code bool
}

// spans takes a description apart.
func spans(text string) (all []span) {
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			all = append(all, span{part, i%2 == 1})
		}
	}
	return all
}
