package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// decodeStrict reads YAML or JSON into a value. A field that is not known is an
// error that names the nearest one, and so is a field that comes twice.
func decodeStrict(text []byte, into any) error {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	var anything any
	if err := json.Unmarshal(data, &anything); err != nil {
		return err
	}
	if err := checkFields("", anything, reflect.TypeOf(into)); err != nil {
		return err
	}
	err = json.Unmarshal(data, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: want %s and not a %s", wrong.Field, kindName(wrong.Type), wrong.Value)
	}
	return err
}

// kindName is a type for people.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "fields"
	}
	return "a number"
}

// checkFields looks for fields of value that t does not have.
func checkFields(at string, value any, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case []any:
		if t.Kind() != reflect.Slice {
			return nil // decoding says so
		}
		for i, item := range v {
			if err := checkFields(fmt.Sprintf("%s[%d]", at, i), item, t.Elem()); err != nil {
				return err
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return nil
		}
		known := map[string]any{}
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			known[name] = field.Type
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			field := strings.TrimPrefix(at+"."+key, ".")
			inner, ok := known[key].(reflect.Type)
			if !ok {
				return fmt.Errorf("%s: there is no such field%s", field, suggest(key, known))
			}
			if err := checkFields(field, v[key], inner); err != nil {
				return err
			}
		}
	}
	return nil
}
