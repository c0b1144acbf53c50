package ui

import (
	"maps"
	"net/http"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// systemForm is the form of an operating system: what was typed, as it was typed.
type systemForm struct {
	New      bool
	ID, Name string
	Version  string
	Template string // the name of one, or its text
	Values   string // lines of KEY=VALUE
	User     string
	First    string
	MinDisk  string // GB
	MinMem   string // MiB
	Notes    string
	Revision string
	Files    []fileForm
	Faults   faults
	AsText   bool   // it is shown as YAML
	Text     string // the YAML
	Machine  string // that the template is tried on; empty: an example
	Machines []string
	Tried    *Tried // nil: it was not tried
	Builtin  bool
	Operator bool
}

// fileForm is the image of one architecture.
type fileForm struct{ Arch, URL, Format, SHA256, Sums string }

// archs are those that an operating system may have images for.
var archs = []string{"amd64", "arm64"}

func (u *UI) newSystem(w http.ResponseWriter, r *http.Request) error {
	o := registry.OS{Template: "cloud-image", FirstBoot: registry.FirstBootCloudInit}
	if sum := r.FormValue("sha256"); sum != "" { // of an image that is here
		o.Images = map[string]registry.OSImage{archs[0]: {SHA256: cut(sum, 64)}}
	}
	return u.showStored(w, r, o, true)
}

func (u *UI) system(w http.ResponseWriter, r *http.Request) error {
	o, err := u.Systems.OS(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return u.showStored(w, r, o, false)
}

// showStored shows an operating system as it is.
func (u *UI) showStored(w http.ResponseWriter, r *http.Request, o registry.OS, isNew bool) error {
	f := formOf(o)
	if f.New, f.AsText = isNew, asText(r); f.AsText {
		text, err := u.Recipes.Format(o)
		if err != nil {
			return err
		}
		f.Text = string(text)
	}
	return u.showSystem(w, r, f, http.StatusOK)
}

func (u *UI) showSystem(w http.ResponseWriter, r *http.Request, form systemForm, status int) error {
	title := form.Name
	if form.New {
		title = "New operating system"
	}
	form.Operator = operator(r)
	some, err := u.Machines.Machines(r.Context(), registry.Query{Limit: maxOffered})
	if err != nil {
		return err
	}
	for _, m := range some {
		form.Machines = append(form.Machines, m.Name)
	}
	f := u.frame(r, title)
	f.Still = true
	return render(w, r, status, systemPage(f, form))
}

// formOf is the form for what is stored.
func formOf(o registry.OS) systemForm {
	f := systemForm{ID: o.ID, Name: o.Name, Version: o.Version, Template: o.Template, Values: pairLines(o.Values), User: o.User, First: string(o.FirstBoot),
		Notes: o.Notes, Revision: strconv.FormatInt(o.Revision, 10), Builtin: o.Builtin}
	if o.MinDisk > 0 {
		f.MinDisk = strconv.FormatFloat(float64(o.MinDisk)/1e9, 'f', -1, 64)
	}
	if o.MinMemory > 0 {
		f.MinMem = strconv.FormatInt(o.MinMemory>>20, 10)
	}
	for _, arch := range archs {
		i := o.Images[arch]
		f.Files = append(f.Files, fileForm{arch, i.URL, i.Format, i.SHA256, i.Sums})
	}
	return f
}

// putSystem writes what the form says. What the form has no field for stays.
func (u *UI) putSystem(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	form := systemFormIn(r)
	stored := registry.OS{}
	if !form.New {
		var err error
		if stored, err = u.Systems.OS(r.Context(), form.ID); err != nil {
			return err
		}
	}
	if form.AsText {
		return u.putText(w, r, form)
	}
	o, wrong := form.over(stored)
	if r.PostFormValue("do") == "try" && len(wrong) == 0 {
		return u.trySystem(w, r, form, o)
	}
	if _, err := u.Systems.OS(r.Context(), form.ID); form.New && err == nil {
		wrong["id"] = []string{"There is one with this ID already."}
	}
	if len(wrong) == 0 {
		_, err := u.Systems.PutOS(r.Context(), form.revision(), o)
		if err == nil {
			return u.toSystems(w, r)
		}
		if wrong = faultsOf(err, systemField); wrong == nil {
			return err
		}
	}
	form.Faults = wrong
	return u.showSystem(w, r, form, http.StatusUnprocessableEntity)
}

// revision is that of what was changed; of one that is not stored it is such.
func (f systemForm) revision() int64 {
	n, err := strconv.ParseInt(f.Revision, 10, 64)
	if err != nil || n <= 0 {
		return registry.Unstored
	}
	return n
}

// systemFormIn is the form as it was sent.
func systemFormIn(r *http.Request) systemForm {
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	f := systemForm{New: r.PathValue("id") == "", ID: r.PathValue("id"), Name: value("name"), Version: value("version"), Values: r.PostFormValue("values"), User: value("user"),
		First: value("first_boot"), MinDisk: value("min_disk"), MinMem: value("min_memory"), Notes: value("notes"), Revision: value("revision"),
		AsText: asText(r), Machine: value("machine")}
	f.Template = strings.ReplaceAll(r.PostFormValue("template"), "\r\n", "\n")
	if name := strings.TrimSpace(f.Template); !strings.Contains(name, "\n") {
		f.Template = name
	}
	if f.New {
		f.ID = value("id")
	}
	for _, arch := range archs {
		f.Files = append(f.Files, fileForm{arch, value("url_" + arch), value("format_" + arch), value("sha256_" + arch), value("sums_" + arch)})
	}
	return f
}

// over is what is stored with what the form says.
func (f systemForm) over(o registry.OS) (registry.OS, faults) {
	wrong := faults{}
	o.ID, o.Name, o.Version, o.Template, o.User, o.FirstBoot, o.Notes = f.ID, f.Name, f.Version, f.Template, f.User, registry.FirstBoot(f.First), f.Notes
	values, line := pairs(f.Values)
	if line != "" {
		wrong["values"] = []string{"Want KEY=VALUE on each line, and this is none: " + cut(line, 60)}
	}
	if o.Values = values; len(values) == 0 {
		o.Values = nil
	}
	gb, err := strconv.ParseFloat("0"+f.MinDisk, 64)
	if err != nil || gb > 1e6 {
		wrong["min_disk"] = []string{"Want a number of GB, such as 8."}
	} else {
		o.MinDisk = int64(gb * 1e9)
	}
	mib, err := strconv.ParseInt("0"+f.MinMem, 10, 32)
	if err != nil {
		wrong["min_memory"] = []string{"Want a whole number of MiB, such as 1024."}
	} else {
		o.MinMemory = mib << 20
	}
	o.Images = maps.Clone(o.Images)
	if o.Images == nil {
		o.Images = map[string]registry.OSImage{}
	}
	for _, file := range f.Files {
		i := o.Images[file.Arch]
		i.URL, i.Format, i.SHA256, i.Sums = file.URL, file.Format, file.SHA256, file.Sums
		o.Images[file.Arch] = i
		if i == (registry.OSImage{}) {
			delete(o.Images, file.Arch)
		}
	}
	return o, wrong
}

// systemField is the field that a pointer of an operating system belongs to.
func systemField(pointer string) string {
	for _, arch := range archs {
		if rest, ok := strings.CutPrefix(pointer, "/images/"+arch); ok {
			switch rest {
			case "/format", "/sha256", "/sums":
				return rest[1:] + "_" + arch
			}
			return "url_" + arch
		}
	}
	for _, name := range []string{"id", "name", "version", "template", "values", "user", "first_boot", "min_disk", "min_memory", "notes"} {
		if pointer == "/"+name || strings.HasPrefix(pointer, "/"+name+"/") {
			return name
		}
	}
	return ""
}

// input is a field of one line.
type input struct{ Name, Label, Value, Example, Hint string }

// jobTone is the state of a deployment that has the colour of a job's.
func jobTone(s registry.ImageJobState) string {
	switch s {
	case registry.ImageJobReceiving, registry.ImageJobWaiting:
		return string(registry.DeploymentWaiting)
	}
	return string(s)
}
