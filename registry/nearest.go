package registry

import "strings"

// maxWord is how much of a wrong word is compared.
const maxWord = 40

// Nearest is the known word that word was probably meant to be, for an error
// message: within three edits, or a third of its length, without regard to case.
// It is empty where none is near.
func Nearest(word string, known []string) string {
	word = strings.ToLower(word[:min(len(word), maxWord)])
	best, least := "", max(3, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, strings.ToLower(k)); d < least && d < max(len(word), len(k)) {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance: how many bytes have to be put in, taken
// out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, corner+1, row[j]+1)
		}
	}
	return row[len(b)]
}
