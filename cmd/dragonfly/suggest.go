package main

import (
	"maps"
	"slices"
	"strings"

	"dragonfly/registry"
)

// suggest names the known key that is nearest to an unknown one, as the end of
// an error message; empty where none is near.
func suggest(key string, known map[string]any) string {
	if best := registry.Nearest(key, slices.Sorted(maps.Keys(known))); best != "" {
		return "; did you mean " + best + "?"
	}
	return "; known are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

func suggestEnv(key string, known map[string]any) string {
	if best := registry.Nearest(key, slices.Sorted(maps.Keys(known))); best != "" {
		return "; did you mean " + envPrefix + strings.ToUpper(strings.ReplaceAll(best, "-", "_")) + "?"
	}
	return ""
}
