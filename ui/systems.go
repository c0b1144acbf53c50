package ui

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"dragonfly/registry"
)

// Systems changes the catalogue of operating systems. *registry.Registry is one.
type Systems interface {
	// OS errs with [registry.ErrNotFound] where there is none with this ID.
	OS(ctx context.Context, id string) (registry.OS, error)
	PutOS(ctx context.Context, revision int64, o registry.OS) (registry.OS, error)
	EnableOS(ctx context.Context, id string, revision int64, enabled bool) (registry.OS, error)
	DeleteOS(ctx context.Context, id string, revision int64) error
	// Note keeps in the audit log what was done to what is not in the registry.
	Note(ctx context.Context, action, object string, after any)
}

// systemsView is the catalogue, the images, and the work on them.
type systemsView struct {
	Systems  []systemView
	Images   []imageView
	Jobs     []jobView
	Operator bool
}

// systemView is an operating system as the catalogue shows it.
type systemView struct {
	registry.OS
	Files []fileView
}

// fileView is the image of one architecture, and whether it is here.
type fileView struct {
	Arch  string
	Local bool
	Size  string // of the raw image, where it is here
	Word  string
	Fetch bool // it can be fetched from where it is
}

func (u *UI) systems(w http.ResponseWriter, r *http.Request) error {
	v, err := u.systemsView(r)
	if err != nil {
		return err
	}
	f := u.frame(r, "Operating systems")
	f.Still = true
	return render(w, r, http.StatusOK, systemsPage(f, v))
}

// systemsPart is what is read again while the page is open.
func (u *UI) systemsPart(w http.ResponseWriter, r *http.Request) error {
	v, err := u.systemsView(r)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, systemsTables(v))
}

func (u *UI) systemsView(r *http.Request) (v systemsView, err error) {
	all, err := u.Deployments.OSes(r.Context())
	for _, o := range all {
		v.Systems = append(v.Systems, systemView{o, u.files(o)})
	}
	v.Images, v.Jobs = u.images(), u.jobs()
	v.Operator = operator(r)
	return v, err
}

func (u *UI) files(o registry.OS) (files []fileView) {
	for _, arch := range slices.Sorted(maps.Keys(o.Images)) {
		i, f := o.Images[arch], fileView{Arch: arch, Word: "missing"}
		if i.Kernel != "" {
			f.Word = "installer, fetched by the machine"
			files = append(files, f)
			continue
		}
		image, ok := u.Images.Find(i.Source(o.Name))
		switch {
		case ok && image.Damage != "":
			f.Word, f.Fetch = "damaged", i.URL != ""
		case ok:
			f.Local, f.Word, f.Size = true, "local", decimalSize(image.Size)
		default:
			f.Fetch = i.URL != ""
		}
		files = append(files, f)
	}
	return files
}

// fetchSystem begins to fetch the images of an operating system that are not here.
func (u *UI) fetchSystem(w http.ResponseWriter, r *http.Request) error {
	o, err := u.Systems.OS(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	i, ok := o.Images[r.FormValue("arch")]
	if !ok || i.URL == "" {
		return &httpError{status: http.StatusUnprocessableEntity, detail: o.Name + " has no image to fetch for " + cut(r.FormValue("arch"), 16) + "."}
	}
	src := i.Source(o.Name)
	job, err := u.ImageJobs.Import(r.Context(), src)
	if err != nil {
		return err
	}
	u.Systems.Note(r.Context(), "image.import", "image/"+job.ID, src)
	return u.toSystems(w, r)
}

func (u *UI) toSystems(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/systems", http.StatusSeeOther)
	return nil
}

func (u *UI) enableSystem(w http.ResponseWriter, r *http.Request) error {
	_, err := u.Systems.EnableOS(r.Context(), r.PathValue("id"), registry.AnyVersion, r.FormValue("enabled") == "true")
	if err != nil {
		return err
	}
	return u.toSystems(w, r)
}

func (u *UI) askDeleteSystem(w http.ResponseWriter, r *http.Request) error {
	o, err := u.Systems.OS(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return u.confirm(w, r, question{Title: "Take " + o.Name + " out of the catalogue?", Yes: "Take out " + o.ID, Back: "/systems/" + o.ID,
		Text: "It can be deployed no more. One that came with this version is again as it came. Machines that run it are not touched."})
}

func (u *UI) deleteSystem(w http.ResponseWriter, r *http.Request) error {
	if err := u.Systems.DeleteOS(r.Context(), r.PathValue("id"), registry.AnyVersion); err != nil {
		return err
	}
	return u.toSystems(w, r)
}

// confirm asks once more.
func (u *UI) confirm(w http.ResponseWriter, r *http.Request, q question) error {
	q.Action = r.URL.Path
	f := u.frame(r, q.Title)
	f.Still = true
	return render(w, r, http.StatusOK, confirmation(f, q))
}

// systemPages are the pages about operating systems.
func (u *UI) systemPages() map[string]page {
	return map[string]page{
		"GET /systems":              u.systems,
		"GET /systems/part":         u.systemsPart,
		"GET /systems/new":          u.newSystem,
		"POST /systems/new":         u.putSystem,
		"GET /systems/{id}":         u.system,
		"POST /systems/{id}":        u.putSystem,
		"POST /systems/{id}/fetch":  u.fetchSystem,
		"POST /systems/{id}/enable": u.enableSystem,
		"GET /systems/{id}/delete":  u.askDeleteSystem,
		"POST /systems/{id}/delete": u.deleteSystem,
	}
}

// pairs are the lines KEY=VALUE of a field, and the first line that is none.
func pairs(text string) (values map[string]string, wrong string) {
	values = map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, line
		}
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return values, ""
}

// pairLines is pairs turned round.
func pairLines(values map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		text.WriteString(key + "=" + values[key] + "\n")
	}
	return text.String()
}
