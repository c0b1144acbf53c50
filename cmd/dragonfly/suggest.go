package main

import (
	"maps"
	"slices"
	"strings"
)

// suggest names the known key that is nearest to an unknown one, as the end of
// an error message; empty where none is near.
func suggest(key string, known map[string]any) string {
	if best := nearest(key, slices.Sorted(maps.Keys(known))); best != "" {
		return "; did you mean " + best + "?"
	}
	return "; known are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

func suggestEnv(key string, known map[string]any) string {
	if best := nearest(key, slices.Sorted(maps.Keys(known))); best != "" {
		return "; did you mean " + envPrefix + strings.ToUpper(strings.ReplaceAll(best, "-", "_")) + "?"
	}
	return ""
}

// nearest is the word within three edits of s, or a third of its length.
func nearest(s string, words []string) string {
	best, least := "", max(3, len(s)/3)+1
	for _, word := range words {
		if d := distance(strings.ToLower(s), word); d < least {
			best, least = word, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
