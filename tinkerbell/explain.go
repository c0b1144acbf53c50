package tinkerbell

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// How text/template says where, and what was not there.
var (
	templateLine = regexp.MustCompile(`^template: ` + templateName + `:(\d+)(?::(\d+))?: (?:executing "[^"]*" )?(?:at <(.*?)>: )?`)
	missingField = regexp.MustCompile(`can't evaluate field (\w+) in type \*?tinkerbell\.(\w+)$`)
	missingKey   = regexp.MustCompile(`map has no entry for key "(.*)"$`)
)

// explain is an error of text/template with its place and what to do.
func explain(err error, data Data) error {
	text := err.Error()
	found := templateLine.FindStringSubmatch(text)
	if found == nil {
		return refuse("%s", firstLine(text))
	}
	p := Problem{Message: text[len(found[0]):]}
	p.Line, _ = strconv.Atoi(found[1])
	if column, err := strconv.Atoi(found[2]); err == nil {
		p.Column = column + 1 // text/template counts from 0
	}
	switch key := missingKey.FindStringSubmatch(p.Message); {
	case key != nil:
		p.Message = noValue(found[3], key[1], data)
	case missingField.MatchString(p.Message):
		field := missingField.FindStringSubmatch(p.Message)
		p.Message = noField(field[1], field[2])
	case strings.ContainsAny(found[3], ". ") && !strings.HasPrefix(found[3], "{{"):
		p.Message = fmt.Sprintf("{{ %s }}: %s", found[3], p.Message)
	}
	return &InvalidError{[]Problem{p}}
}

// noValue says that the map an expression reads has no such key, and what it has.
func noValue(expression, key string, data Data) string {
	path := strings.Split(strings.TrimPrefix(strings.TrimPrefix(expression, "$"), "."), ".")
	var at any = map[string]any(data)
	for i, name := range path {
		within, ok := at.(map[string]any)
		if !ok {
			break
		}
		if name == key {
			if _, there := within[name]; !there {
				return "no value for ." + strings.Join(path[:i+1], ".") + whatThereIs(key, within)
			}
		}
		at = within[name]
	}
	return fmt.Sprintf("no value for %s in %s", key, expression)
}

// noField says that a part of .Hardware has no such field, and which it has.
func noField(field, part string) string {
	var known []string
	if t := partNamed(part, reflect.TypeFor[LegacyHardware]()); t.Name() == part {
		for i := range t.NumField() {
			known = append(known, t.Field(i).Name)
		}
	}
	return fmt.Sprintf("no field %s in %s%s", field, part, orSuggest(field, known))
}

// partNamed is the type of that name within t; another one where there is none.
func partNamed(name string, t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Name() == name || t.Kind() != reflect.Struct {
		return t
	}
	for i := range t.NumField() {
		if within := partNamed(name, t.Field(i).Type); within.Name() == name {
			return within
		}
	}
	return t
}

// whatThereIs lists the keys of a map, the nearest first.
func whatThereIs(key string, within map[string]any) string {
	known := slices.Sorted(maps.Keys(within))
	if len(known) == 0 {
		return "; there is nothing in it"
	}
	text := "; there are ." + strings.Join(known, ", .")
	if near := registry.Nearest(key, known); near != "" {
		text = "; did you mean ." + near + "?" + strings.Replace(text, ";", "", 1)
	}
	return text
}
