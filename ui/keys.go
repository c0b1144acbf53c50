package ui

// keyParts are the keys and what each does: of every page, of the list, and of places.
func keyParts() [][][2]string {
	var lead [][2]string
	for _, p := range places() {
		lead = append(lead, [2]string{"g " + p.Key, p.Title})
	}
	return [][][2]string{
		{{"Ctrl K", "go to a machine or a place, or do something (on a Mac ⌘ K)"}, {"?", "this sheet"}, {"Esc", "closes"},
			{"e", "edits the machine"}, {"d", "deploys to it, or to what is chosen"}},
		{{"/", "filters"}, {"j", "one down"}, {"k", "one up"}, {"Enter", "opens"}, {"x", "chooses"}, {"Shift x", "chooses as far as here"},
			{"a", "chooses the page"}, {"t", "tags what is chosen"}},
		lead,
	}
}
