package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"dragonfly/registry"
)

// Images are the disk images on this server.
type Images interface {
	List() []registry.Image
	// Find is the image that came from a source.
	Find(src registry.ImageSource) (registry.Image, bool)
	// Delete refuses to remove what is needed, unless it is forced to.
	Delete(ctx context.Context, name string, force bool) (registry.Image, error)
	// GC removes what nobody needs, or says what that is.
	GC(ctx context.Context, dryRun bool) (registry.ImageGC, error)
	// Free is how many bytes of images there is room for.
	Free() int64
}

// ImageJobs is the work on images.
type ImageJobs interface {
	Jobs() []registry.ImageJob
	Import(ctx context.Context, src registry.ImageSource) (registry.ImageJob, error)
	Verify(ctx context.Context, name string) (registry.ImageJob, error)
	Cancel(ctx context.Context, id string) error
}

type imageView struct {
	registry.Image
	Short, Sizes, From string
	Sum                string // SHA-256 of the file that it came in
	Imported, Verified moment
}

type jobView struct {
	registry.ImageJob
	Percent int
	Line    string
	Hint    string // what may be done about it
	Created moment
}

// sending is the page that adds an image: what was typed, and what is wrong with it.
type sending struct {
	URL, SHA256, Sums, Title string
	Free                     int64
	Jobs                     []jobView
	Faults                   faults
}

func (u *UI) newImage(w http.ResponseWriter, r *http.Request) error {
	return u.showSending(w, r, sending{}, http.StatusOK)
}

func (u *UI) showSending(w http.ResponseWriter, r *http.Request, s sending, status int) error {
	s.Free, s.Jobs = u.Images.Free(), u.jobs()
	f := u.frame(r, "Add an image")
	f.Still = true
	return render(w, r, status, sendingPage(f, s))
}

// fetchImage begins to fetch an image that no operating system of the catalogue names.
func (u *UI) fetchImage(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(w, r); err != nil {
		return err
	}
	value := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	s := sending{URL: value("url"), SHA256: value("sha256"), Sums: value("sums"), Title: value("title")}
	src := registry.ImageSource{URL: s.URL, SHA256: s.SHA256, Sums: s.Sums, Title: s.Title}
	job, err := u.ImageJobs.Import(r.Context(), src)
	if err == nil {
		u.Systems.Note(r.Context(), "image.import", "image/"+job.ID, src)
		return u.toSystems(w, r)
	}
	if s.Faults = faultsOf(err, imageField); s.Faults == nil {
		return err
	}
	status, _ := refusal(err)
	return u.showSending(w, r, s, status)
}

// imageField is the field that a pointer of a source belongs to.
func imageField(pointer string) string {
	if name := strings.TrimPrefix(pointer, "/"); slices.Contains([]string{"url", "sha256", "sums", "title"}, name) {
		return name
	}
	return ""
}

// imageJobs is the part of a page that is read again while something is at work.
func (u *UI) imageJobs(w http.ResponseWriter, r *http.Request) error {
	return render(w, r, http.StatusOK, imageJobsPart(u.jobs(), operator(r)))
}

func (u *UI) jobs() (all []jobView) {
	now := time.Now()
	for _, j := range u.ImageJobs.Jobs() {
		all = append(all, jobOf(j, now))
	}
	return all
}

func (u *UI) images() (all []imageView) {
	now := time.Now()
	for _, i := range u.Images.List() {
		view := imageView{Image: i, Short: cut(i.Name, 12), Sizes: decimalSize(i.Size) + ", " + decimalSize(i.Packed) + " packed",
			Imported: moment{i.ImportedAt, now}, Verified: moment{i.VerifiedAt, now}}
		if n := len(i.Origins); n > 0 {
			last := i.Origins[n-1]
			view.From, view.Sum = cmp.Or(last.URL, "a file that was sent here"), last.SHA256
		}
		all = append(all, view)
	}
	return all
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
	if j.State == registry.ImageJobReceiving {
		v.Hint = "If it stands still, choose the same file again: it goes on from there. Cancel it to begin anew."
	}
	if j.State.Ended() {
		v.Line = ""
	}
	return v
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

// imagePages are the pages about the images on this server.
func (u *UI) imagePages() map[string]page {
	return map[string]page{
		"GET /images/new":               u.newImage,
		"POST /images/new":              u.fetchImage,
		"GET /images/jobs":              u.imageJobs,
		"POST /images/{name}/verify":    u.verifyImage,
		"GET /images/{name}/delete":     u.askDeleteImage,
		"POST /images/{name}/delete":    u.deleteImage,
		"GET /images/gc":                u.askGC,
		"POST /images/gc":               u.gcImages,
		"POST /images/jobs/{id}/cancel": u.cancelImageJob,
	}
}
