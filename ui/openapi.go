package ui

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// openAPI is what the page of the API reads of an OpenAPI 3.1 document.
type openAPI struct {
	Info struct {
		Title, Version, Description string
	}
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]apiOperation // by path and method
	Components struct {
		Schemas map[string]apiSchema
	}
}

type apiOperation struct {
	OperationID, Summary, Description string
	Role                              string `json:"x-role"`
	Tags                              []string
	Parameters                        []apiParameter
	RequestBody                       struct{ Content map[string]apiContent }
	Responses                         map[string]struct {
		Description string
		Content     map[string]apiContent
	}
}

type apiParameter struct {
	Name, In, Description string
	Required              bool
	Example               any
	Schema                apiSchema
}

type apiContent struct {
	Schema  apiSchema
	Example any
}

// apiSchema is a schema (JSON Schema 2020-12), as far as ours use it.
type apiSchema struct {
	Ref                  string   `json:"$ref"`
	Type                 apiTypes // one, or one and "null"
	Format, Description  string
	Properties           map[string]apiSchema
	Required             []string
	Items                *apiSchema
	AdditionalProperties json.RawMessage // false, or the schema of a map's values
	Enum, Examples       []any
	Default              any
	Minimum, Maximum     *float64
	MaxLength, MaxItems  *int
}

// apiTypes is a type, or a list of them.
type apiTypes []string

// UnmarshalJSON reads either.
func (t *apiTypes) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = apiTypes{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

// name is what the schema is called, where it is a reference.
func (s apiSchema) name() string {
	return strings.TrimPrefix(s.Ref, "#/components/schemas/")
}

// values is the schema of a map's values; nil where it is no map.
func (s apiSchema) values() *apiSchema {
	var values apiSchema
	if len(s.AdditionalProperties) == 0 || s.AdditionalProperties[0] != '{' || json.Unmarshal(s.AdditionalProperties, &values) != nil {
		return nil
	}
	return &values
}

// kind is the type in words, and the named schema it leads to, if any.
func (s apiSchema) kind() (text, to string) {
	switch {
	case s.Ref != "":
		return s.name(), s.name()
	case s.Items != nil:
		text, to = s.Items.kind()
		return "list of " + text, to
	case s.values() != nil:
		text, to = s.values().kind()
		return "map of " + text, to
	case s.Format != "" && slices.Contains(s.Type, "string"):
		return s.Format, ""
	case len(s.Type) == 0:
		return "anything", ""
	}
	return s.Type[0], ""
}

// limits says what is more to a value than its type.
func (s apiSchema) limits() string {
	var parts []string
	if len(s.Enum) > 0 {
		parts = append(parts, "one of "+joined(s.Enum))
	}
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		parts = append(parts, fmt.Sprintf("%v to %v", *s.Minimum, *s.Maximum))
	case s.Minimum != nil && *s.Minimum != 0:
		parts = append(parts, fmt.Sprintf("at least %v", *s.Minimum))
	case s.Maximum != nil:
		parts = append(parts, fmt.Sprintf("at most %v", *s.Maximum))
	}
	if s.MaxLength != nil {
		parts = append(parts, fmt.Sprintf("at most %d characters", *s.MaxLength))
	}
	if s.MaxItems != nil {
		parts = append(parts, fmt.Sprintf("at most %d entries", *s.MaxItems))
	}
	if s.Default != nil {
		parts = append(parts, fmt.Sprintf("%v when left out", s.Default))
	}
	return strings.Join(parts, "; ")
}

func joined(values []any) string {
	texts := make([]string, 0, len(values))
	for _, v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, ", ")
}

// maxExample is how deep an example goes.
const maxExample = 5

// example is a value of the schema, of what its members give as examples. Members
// that need not be there and have none are left out.
func (d *openAPI) example(s apiSchema, depth int) any {
	if s.Ref != "" {
		s = d.Components.Schemas[s.name()]
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Items != nil && depth < maxExample:
		if entry := d.example(*s.Items, depth+1); entry != nil {
			return []any{entry}
		}
		return []any{}
	case s.values() != nil || s.Items != nil:
		return nil
	case len(s.Properties) > 0 && depth < maxExample:
		return d.exampleObject(s, depth)
	}
	return exampleOf(s)
}

// exampleOf is an example of a plain value, nil where nothing is known of it.
func exampleOf(s apiSchema) any {
	switch {
	case s.Format == "date-time":
		return "2026-11-23T12:00:00Z"
	case slices.Contains(s.Type, "string"):
		return "text"
	case slices.Contains(s.Type, "integer"), slices.Contains(s.Type, "number"):
		return 1
	case slices.Contains(s.Type, "boolean"):
		return true
	}
	return nil
}

// exampleObject has the members that must be there, and those that have an example.
func (d *openAPI) exampleObject(s apiSchema, depth int) any {
	object := map[string]any{}
	for name, member := range s.Properties {
		told := len(member.Examples) > 0 || len(member.Enum) > 0
		if !told && !slices.Contains(s.Required, name) {
			continue
		}
		if value := d.example(member, depth+1); value != nil {
			object[name] = value
		}
	}
	return object
}
