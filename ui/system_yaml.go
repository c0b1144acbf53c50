package ui

import (
	"fmt"
	"net/http"
	"strings"

	"dragonfly/registry"
)

// asText reports whether the operating system is looked at as YAML: all of it, also
// what the form has no fields for.
func asText(r *http.Request) bool { return r.FormValue("as") == "yaml" }

// putText writes what the YAML says.
func (u *UI) putText(w http.ResponseWriter, r *http.Request, form systemForm) error {
	form.Text = strings.ReplaceAll(r.PostFormValue("yaml"), "\r\n", "\n")
	o, wrong := u.readText(form)
	if len(wrong) == 0 && form.New {
		if _, err := u.Systems.OS(r.Context(), o.ID); err == nil {
			wrong = []string{"There is one with the ID " + o.ID + " already."}
		}
	}
	if len(wrong) == 0 {
		_, err := u.Systems.PutOS(r.Context(), form.revision(), o)
		if err == nil {
			return u.toSystems(w, r)
		}
		found := faultsOf(err, func(string) string { return "" })
		if found == nil {
			return err
		}
		wrong = found[""]
	}
	form.Faults = faults{"yaml": wrong}
	return u.showSystem(w, r, form, http.StatusUnprocessableEntity)
}

// readText is the one operating system of the text, or what is wrong with it.
func (u *UI) readText(form systemForm) (o registry.OS, wrong []string) {
	all, err := u.Recipes.Parse([]byte(form.Text))
	switch {
	case err != nil:
		return o, strings.Split(err.Error(), "\n")
	case len(all) != 1:
		return o, []string{fmt.Sprintf("Want one operating system here, and these are %d. A file of many is read by dragonfly os add.", len(all))}
	case !form.New && all[0].ID != form.ID:
		return o, []string{fmt.Sprintf("The ID is %s here and %s there: it stays as it is. Add another one for another ID.", all[0].ID, form.ID)}
	}
	return all[0], nil
}
