package ui

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

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

// Images are the disk images on this server.
type Images interface {
	List() []registry.Image
	// Find is the image that came from a source.
	Find(src registry.ImageSource) (registry.Image, bool)
	// Delete refuses to remove what is needed, unless it is forced to.
	Delete(ctx context.Context, name string, force bool) (registry.Image, error)
	// GC removes what nobody needs, or says what that is.
	GC(ctx context.Context, dryRun bool) (registry.ImageGC, error)
}

// ImageJobs is the work on images.
type ImageJobs interface {
	Jobs() []registry.ImageJob
	Import(ctx context.Context, src registry.ImageSource) (registry.ImageJob, error)
	Verify(ctx context.Context, name string) (registry.ImageJob, error)
	Cancel(ctx context.Context, id string) error
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

type imageView struct {
	registry.Image
	Short, Sizes, From string
	Imported, Verified moment
}

type jobView struct {
	registry.ImageJob
	Percent int
	Line    string
	Created moment
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
	now := time.Now()
	all, err := u.Deployments.OSes(r.Context())
	for _, o := range all {
		v.Systems = append(v.Systems, systemView{o, u.files(o)})
	}
	for _, i := range u.Images.List() {
		view := imageView{Image: i, Short: cut(i.Name, 12), Sizes: decimalSize(i.Size) + ", " + decimalSize(i.Packed) + " packed",
			Imported: moment{i.ImportedAt, now}, Verified: moment{i.VerifiedAt, now}}
		if n := len(i.Origins); n > 0 {
			view.From = cmp.Or(i.Origins[n-1].URL, "a file that was sent here")
		}
		v.Images = append(v.Images, view)
	}
	for _, j := range u.ImageJobs.Jobs() {
		v.Jobs = append(v.Jobs, jobOf(j, now))
	}
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

func jobOf(j registry.ImageJob, now time.Time) jobView {
	v := jobView{ImageJob: j, Created: moment{j.CreatedAt, now}, Line: j.Progress.Stage}
	if j.Progress.Total > 0 {
		v.Percent = int(100 * min(1, float64(j.Progress.Done)/float64(j.Progress.Total)))
		v.Line += ", " + decimalSize(j.Progress.Done) + " of " + decimalSize(j.Progress.Total)
	}
	if j.Progress.Rate > 0 {
		v.Line += ", " + decimalSize(int64(j.Progress.Rate)) + "/s"
		if left := float64(j.Progress.Total-j.Progress.Done) / j.Progress.Rate; left > 0 {
			v.Line += ", about " + took(time.Duration(left*float64(time.Second))) + " left"
		}
	}
	if j.State.Ended() {
		v.Line = ""
	}
	return v
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

func (u *UI) verifyImage(w http.ResponseWriter, r *http.Request) error {
	if _, err := u.ImageJobs.Verify(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	return u.toSystems(w, r)
}

func (u *UI) cancelImageJob(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := u.ImageJobs.Cancel(r.Context(), id); err != nil {
		return err
	}
	u.Systems.Note(r.Context(), "image.cancel", "image/"+id, nil)
	return u.toSystems(w, r)
}

// askDeleteImage says what would be gone.
func (u *UI) askDeleteImage(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	at := slices.IndexFunc(u.Images.List(), func(i registry.Image) bool { return i.Name == name })
	if at < 0 {
		return &httpError{status: http.StatusNotFound, detail: "There is no image " + cut(name, 64) + " on this server any more."}
	}
	i := u.Images.List()[at]
	return u.confirm(w, r, question{Title: "Delete " + i.Title + "?", Yes: "Delete " + i.Title, Back: "/systems",
		Text: "The image " + i.Title + " (" + decimalSize(i.Packed) + ") is deleted from this server. One that an operating system is installed from is not deleted."})
}

func (u *UI) deleteImage(w http.ResponseWriter, r *http.Request) error {
	image, err := u.Images.Delete(r.Context(), r.PathValue("name"), false)
	if err != nil {
		return err
	}
	u.Systems.Note(r.Context(), "image.delete", "image/"+image.Name, nil)
	return u.toSystems(w, r)
}

// askGC says what nobody needs.
func (u *UI) askGC(w http.ResponseWriter, r *http.Request) error {
	gone, err := u.Images.GC(r.Context(), true)
	if err != nil {
		return err
	}
	if len(gone.Images) == 0 && gone.Bytes == 0 {
		return u.confirm(w, r, question{Title: "Nothing to clear away", Back: "/systems", Text: "Every image here is needed by an operating system of the catalogue."})
	}
	q := question{Title: "Clear away what nobody needs?", Yes: "Clear away " + decimalSize(gone.Bytes), Back: "/systems",
		Text: "What is left of imports that failed, and the images that no operating system of the catalogue is installed from: " + decimalSize(gone.Bytes) + " in all."}
	for _, i := range gone.Images {
		q.Text += "\n" + i.Title
	}
	return u.confirm(w, r, q)
}

func (u *UI) gcImages(w http.ResponseWriter, r *http.Request) error {
	gone, err := u.Images.GC(r.Context(), false)
	if err != nil {
		return err
	}
	for _, image := range gone.Images {
		u.Systems.Note(r.Context(), "image.gc", "image/"+image.Name, nil)
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

// refusedByStore is the status and the words for what the image store refuses.
func refusedByStore(err error) (status int, text string) {
	_, cannot := errors.AsType[*registry.ImageError](err)
	_, full := errors.AsType[*registry.SpaceError](err)
	switch {
	case cannot:
		return http.StatusConflict, sentence(err)
	case full:
		return http.StatusInsufficientStorage, sentence(err)
	}
	return 0, ""
}

// systemPages are the pages about operating systems and images.
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

		"POST /images/{name}/verify":    u.verifyImage,
		"GET /images/{name}/delete":     u.askDeleteImage,
		"POST /images/{name}/delete":    u.deleteImage,
		"GET /images/gc":                u.askGC,
		"POST /images/gc":               u.gcImages,
		"POST /images/jobs/{id}/cancel": u.cancelImageJob,
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
