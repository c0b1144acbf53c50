package ui

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// kept is a form that came without a session, to be sent again after signing in.
type kept struct {
	Action string
	Fields [][2]string
}

// keptOf is the form that r sends; ok where it is one that a person has filled in.
// Passwords are not sent back: their form asks for them again.
func keptOf(w http.ResponseWriter, r *http.Request) (k kept, ok bool) {
	if r.Method != http.MethodPost || r.Header.Get("Authorization") != "" ||
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || readForm(w, r) != nil {
		return k, false
	}
	k.Action = r.URL.RequestURI()
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		if slices.Contains([]string{"password", "old", "again"}, name) {
			continue
		}
		for _, value := range r.PostForm[name] {
			k.Fields = append(k.Fields, [2]string{name, value})
		}
	}
	return k, true
}
