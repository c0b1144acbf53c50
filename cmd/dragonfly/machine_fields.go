package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

// listFields lists the named members of machines, each in a column of its own.
func listFields(cmd *cobra.Command, selection api.Selection, fields []string) error {
	ask := fields
	if form, _ := cmd.Flags().GetString("output"); form == "name" {
		ask = append(slices.Clone(fields), "name")
	}
	machines, err := control(cmd).Fields(cmd.Context(), selection, ask...)
	if err != nil {
		return fmt.Errorf("list machines: %w", err)
	}
	show := columns[map[string]any]{name: func(m map[string]any) string { return cell(m, "name") }}
	for _, field := range fields {
		show.heads = append(show.heads, strings.ToUpper(field))
	}
	show.cells = func(m map[string]any) (cells []string) {
		for _, field := range fields {
			cells = append(cells, cell(m, field))
		}
		return cells
	}
	return printList(cmd, machines, show)
}

// cell is the member of that dotted name as one line: of a list its entries,
// separated by commas.
func cell(value any, path string) string {
	name, below, deeper := strings.Cut(path, ".")
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64, bool:
		return jsonText(v)
	case []any:
		parts := make([]string, 0, len(v))
		for _, entry := range v {
			parts = append(parts, cell(entry, path))
		}
		return strings.Join(parts, ",")
	case map[string]any:
		if whole, ok := v[path]; ok { // a label's key may have dots
			return cell(whole, "")
		}
		switch {
		case path == "":
			return strings.Join(pairs(v), ",")
		case deeper:
			return cell(v[name], below)
		}
	}
	return ""
}

// pairs are the members of an object, each as NAME=VALUE.
func pairs(object map[string]any) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value := jsonText(object[name])
		if text, ok := object[name].(string); ok {
			value = text
		}
		all = append(all, name+"="+value)
	}
	return all
}

func jsonText(value any) string {
	text, _ := json.Marshal(value) // it was decoded from JSON
	return string(text)
}
