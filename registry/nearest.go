package registry

import "strings"

// maxWord is how much of a wrong word is compared.
const maxWord = 40

// Nearest is the known word that word was probably meant to be, for an error
// message: one that it begins, or that is few slips away, one for each three letters
// and at least one, without regard to case. It is empty where none is near.
func Nearest(word string, known []string) string {
	word = strings.ToLower(word[:min(len(word), maxWord)])
	best, least := "", max(1, (len(word)+1)/3)+1
	for _, k := range known {
		if d := slips(word, strings.ToLower(k)); d < least && d < max(len(word), len(k)) {
			best, least = k, d
		}
	}
	return best
}

// slips is [distance], but 1 for the beginning of a word.
func slips(word, known string) int {
	if len(word) > 1 && strings.HasPrefix(known, word) {
		return min(1, len(known)-len(word))
	}
	return distance(word, known)
}

// distance is how many slips of the hand make b of a: a byte that is put in, left
// out or taken for another, or two that have changed places (the optimal string
// alignment distance).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
