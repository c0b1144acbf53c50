package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// osID is what an operating system of the catalogue may be called.
var osID = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

const (
	maxTemplate = 64 << 10 // bytes
	maxNotes    = 4096
)

// Validate reports everything that is wrong with o as an [*InvalidError].
func (o OS) Validate() error {
	v := validator{}
	if !osID.MatchString(o.ID) {
		v.add("/id", "want lower-case letters, digits and . _ -, at most 64, such as debian-12")
	}
	if o.Name == "" {
		v.add("/name", "it is missing: what people call it")
	}
	v.text("/name", o.Name)
	v.text("/version", o.Version)
	v.text("/user", o.User)
	if !slices.Contains(FirstBoots(), o.FirstBoot) {
		v.add("/first_boot", fmt.Sprintf("want one of %s", join(FirstBoots())))
	}
	if o.Engine != "" && !slices.Contains(Engines(), o.Engine) {
		v.add("/engine", "want builtin or tinkerbell")
	}
	if o.OSIE != "" && !slices.Contains(OSIEs(), o.OSIE) {
		v.add("/osie", fmt.Sprintf("want one of %s", join(OSIEs())))
	}
	for _, size := range []struct {
		pointer string
		bytes   int64
	}{{"/min_disk", o.MinDisk}, {"/min_memory", o.MinMemory}} {
		if size.bytes < 0 || size.bytes > maxBytes {
			v.add(size.pointer, "want a number of bytes that is not negative")
		}
	}
	if len(o.Notes) > maxNotes || !utf8.ValidString(o.Notes) || strings.ContainsFunc(o.Notes, func(c rune) bool { return isHidden(c) && c != '\n' }) {
		v.add("/notes", fmt.Sprintf("want plain text of at most %d bytes", maxNotes))
	}
	if o.Template == "" || len(o.Template) > maxTemplate || !utf8.ValidString(o.Template) {
		v.add("/template", fmt.Sprintf("want the name of a shipped template, tinkerbell:NAME for one of Tinkerbell's cluster, or the text of one, of at most %d bytes", maxTemplate))
	}
	v.values("/values", o.Values)
	o.validateSeeds(&v)
	o.validateImages(&v)
	return v.err()
}

// maxTagSeeds is how many tags an operating system may have seeds for.
const maxTagSeeds = 64

// validateSeeds refuses what would be seen by everybody who may look. The rest of a
// seed is looked at by [Tools.CheckSeed].
func (o OS) validateSeeds(v *validator) {
	if len(o.TagSeeds) > maxTagSeeds {
		v.add("/tag_seeds", fmt.Sprintf("want at most %d", maxTagSeeds))
	}
	if o.FirstBoot == FirstBootNone && (!o.Seed.Empty() || len(o.TagSeeds) > 0) {
		v.add("/seed", "nothing reads it at the first boot: first_boot is none")
	}
	for pointer, seed := range o.seeds() {
		for i, user := range seed.Users {
			if user.PasswordHash != "" {
				v.add(fmt.Sprintf("%s/users/%d/password_hash", pointer, i), "everybody who may look sees the catalogue; give passwords with the deployment")
			}
		}
	}
}

// seeds are those of o by their pointers, in their order.
func (o OS) seeds() iter.Seq2[string, Seed] {
	return func(yield func(string, Seed) bool) {
		if !yield("/seed", o.Seed) {
			return
		}
		for _, tag := range slices.Sorted(maps.Keys(o.TagSeeds)) {
			if !yield("/tag_seeds/"+token(tag), o.TagSeeds[tag]) {
				return
			}
		}
	}
}

// checkSeeds reports everything that is wrong with the seeds of o.
func (r *Registry) checkSeeds(o OS) error {
	all := &InvalidError{}
	for pointer, seed := range o.seeds() {
		if r.tools.CheckSeed == nil || seed.Empty() {
			continue
		}
		err := below(pointer, r.tools.CheckSeed(seed))
		wrong, ok := errors.AsType[*InvalidError](err)
		if err != nil && !ok {
			return err
		}
		if ok {
			all.Fields = append(all.Fields, wrong.Fields...)
		}
	}
	if len(all.Fields) == 0 {
		return nil
	}
	return all
}

// valueName is what a template can ask for by a name.
var valueName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// values checks what a template may ask for by name.
func (v *validator) values(pointer string, values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !valueName.MatchString(name) {
			v.add(pointer+"/"+token(name), "want letters, digits and _, at most 64, as in image_url")
		}
		if len(values[name]) > maxTemplate || !utf8.ValidString(values[name]) {
			v.add(pointer+"/"+token(name), fmt.Sprintf("want a text of at most %d bytes", maxTemplate))
		}
	}
}

func join[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}

// osArches are the architectures of machines.
var osArches = []string{"amd64", "arm64"}

func (o OS) validateImages(v *validator) {
	if len(o.Images) == 0 && !o.ofCluster() {
		v.add("/images", "want an image for amd64 or arm64; only a template of Tinkerbell's cluster has its own")
	}
	for _, arch := range slices.Sorted(maps.Keys(o.Images)) {
		image, at := o.Images[arch], "/images/"+token(arch)
		if !slices.Contains(osArches, arch) {
			v.add(at, "want amd64 or arm64")
			continue
		}
		disk := image.URL != "" || image.SHA256 != ""
		if disk == (image.Kernel != "" && image.Initrd != "") {
			v.add(at, "want the url of a disk image, the sha256 of one that is imported from a file, or the kernel and initrd of an installer")
		}
		if err, wrong := image.Source(o.Name).Validate().(*InvalidError); wrong && disk {
			for _, f := range err.Fields {
				// The title is the name of it all, which was looked at.
				if f.Pointer != "/title" && (f.Pointer != "/url" || image.URL != "") {
					v.add(at+f.Pointer, f.Message)
				}
			}
		}
		if image.URL != "" && image.Format == "" {
			v.add(at+"/format", "it is missing: raw or qcow2, and how it is packed")
		}
		v.installerFile(at+"/kernel", image.Kernel, image.KernelSHA256)
		v.installerFile(at+"/initrd", image.Initrd, image.InitrdSHA256)
		v.text(at+"/command_line", image.CommandLine)
	}
}

// installerFile checks where a kernel or an initrd is, and what it is checked against.
func (v *validator) installerFile(pointer, url, sum string) {
	v.url(pointer, url)
	if url != "" || sum != "" {
		v.sum(pointer+"_sha256", sum)
	}
}

// Source is where the image is, and what it is checked against.
func (i OSImage) Source(title string) ImageSource {
	return ImageSource{Title: title, URL: i.URL, Format: i.Format, SHA256: i.SHA256, Sums: i.Sums, Signature: i.Signature, Key: i.Key}
}

// OSes is the catalogue, in the order of their IDs: what comes with this version, as
// operators have changed it, and what they have added. While the store is away it is
// what was known last.
func (r *Registry) OSes(ctx context.Context) ([]OS, error) {
	if !r.away() {
		stored, err := r.store.OSes(ctx)
		if r.heard(ctx, err) == nil {
			all := catalogue(r.tools.Catalogue, stored)
			r.oses.Store(&all)
			return all, nil
		}
		if !r.away() {
			return nil, fmt.Errorf("load the catalogue: %w", err)
		}
	}
	if known := r.oses.Load(); known != nil {
		return *known, nil
	}
	return catalogue(r.tools.Catalogue, nil), nil
}

// catalogue is shipped, as the records that are stored have changed it.
func catalogue(shipped, stored []OS) []OS {
	all := map[string]OS{}
	for _, o := range shipped {
		o.Builtin, o.Revision = true, 0
		all[o.ID] = o
	}
	for _, o := range stored {
		if !o.Builtin {
			all[o.ID] = o
			continue
		}
		// All that was said of it is whether it may be deployed: what else it is comes
		// with each version.
		if ours, there := all[o.ID]; there {
			ours.Disabled, ours.Revision = o.Disabled, o.Revision
			all[o.ID] = ours
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b OS) int { return strings.Compare(a.ID, b.ID) })
}

// OS is one operating system of the catalogue; [ErrNotFound] when there is none.
func (r *Registry) OS(ctx context.Context, id string) (OS, error) {
	all, err := r.OSes(ctx)
	if err != nil {
		return OS{}, err
	}
	ids := make([]string, len(all))
	for i, o := range all {
		if ids[i] = o.ID; o.ID == id {
			return o, nil
		}
	}
	err = fmt.Errorf("operating system %.80q: %w", id, ErrNotFound)
	if near := Nearest(id, ids); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return OS{}, err
}

// PutOS adds an operating system to the catalogue, or replaces one. It errs with
// [*InvalidError], [ErrUnavailable], or a [*ConflictError] when revision is not
// [AnyVersion] and not the one that is stored.
func (r *Registry) PutOS(ctx context.Context, revision int64, o OS) (OS, error) {
	o.Builtin, o.Local = false, nil
	if err := r.checkOS(o); err != nil {
		return OS{}, err
	}
	return r.changeOS(ctx, o.ID, revision, func(*OS) (OS, error) { return o, nil })
}

// checkOS reports what is wrong with o.
func (r *Registry) checkOS(o OS) error {
	err := o.Validate()
	if err == nil {
		err = r.checkSeeds(o)
	}
	if err == nil {
		_, err = r.tools.template(o.Template)
	}
	return err
}

// EnableOS says whether an operating system may be deployed.
func (r *Registry) EnableOS(ctx context.Context, id string, revision int64, enabled bool) (OS, error) {
	return r.changeOS(ctx, id, revision, func(stored *OS) (OS, error) {
		if stored == nil {
			return OS{}, fmt.Errorf("operating system %.80q: %w", id, ErrNotFound)
		}
		o := *stored
		o.Disabled = !enabled
		return o, nil
	})
}

// DeleteOS takes an operating system out of the catalogue; one that comes with this
// version is then as it came. Deployments go on: their plans are frozen.
func (r *Registry) DeleteOS(ctx context.Context, id string, revision int64) error {
	o, err := r.OS(ctx, id)
	switch {
	case err != nil:
		return err
	case revision != AnyVersion && revision != storedVersion(o.Revision):
		return &ConflictError{Object: "operating system " + id, Read: revision, Stored: o.Revision}
	case o.Revision == 0:
		return &RefusalError{fmt.Sprintf("delete %s: it comes with this version; disable it instead", id)}
	case dryRun(ctx):
		return nil
	}
	before, err := json.Marshal(o)
	if err != nil {
		return err
	}
	audit := AuditEntry{At: r.now(), Actor: ActorOf(ctx), Action: string(OSDeleted), Object: "os/" + id, Before: before}
	return r.commit(ctx, Change{Op: OpOf(ctx), DeleteOSes: []OS{o}, Audit: []AuditEntry{audit},
		Events: []Event{{At: audit.At, Kind: OSDeleted, Message: "the operating system " + id + " was taken out of the catalogue" + byWhom(ctx)}}})
}

// byWhom is who asks, at the end of a line.
func byWhom(ctx context.Context) string {
	if name := ActorOf(ctx).Name; name != "" {
		return ", by " + name
	}
	return ""
}

// storedVersion is how a version that was read is named by whoever read it: what is
// not stored is [Unstored], since 0 is [AnyVersion].
func storedVersion(version int64) int64 {
	if version == 0 {
		return Unstored
	}
	return version
}

// changeOS writes what change makes of an operating system; nil where there is none.
func (r *Registry) changeOS(ctx context.Context, id string, revision int64, change func(*OS) (OS, error)) (OS, error) {
	if err := r.writable(); err != nil {
		return OS{}, err
	}
	if AppliedBefore(ctx) {
		return r.OS(ctx, id)
	}
	for range attempts {
		var stored *OS
		o, err := r.OS(ctx, id)
		if err == nil {
			stored = &o
		} else if !errors.Is(err, ErrNotFound) {
			return OS{}, err
		}
		if revision != AnyVersion && revision != storedVersion(o.Revision) {
			return OS{}, &ConflictError{Object: "operating system " + id, Read: max(revision, 0), Stored: o.Revision}
		}
		next, err := change(stored)
		if err != nil {
			return OS{}, err
		}
		next.Revision = o.Revision
		err = r.writeOS(ctx, stored, next)
		if _, lost := errors.AsType[*ConflictError](err); lost && revision == AnyVersion {
			continue
		}
		if err == nil && !dryRun(ctx) {
			next.Revision++
		}
		return next, err
	}
	return OS{}, &ConflictError{Object: "operating system " + id}
}

func (r *Registry) writeOS(ctx context.Context, before *OS, o OS) error {
	if dryRun(ctx) {
		return nil
	}
	audit := AuditEntry{At: r.now(), Actor: ActorOf(ctx), Action: string(OSEdited), Object: "os/" + o.ID}
	message := "the operating system " + o.ID + " is new in the catalogue"
	var errs [2]error
	if before != nil {
		audit.Before, errs[0] = json.Marshal(before)
		if message = "the operating system " + o.ID + " was changed"; before.Disabled != o.Disabled {
			message = "the operating system " + o.ID + " may " + map[bool]string{true: "not be deployed any more", false: "be deployed again"}[o.Disabled]
		}
	}
	audit.After, errs[1] = json.Marshal(o)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	return r.commit(ctx, Change{Op: OpOf(ctx), OSes: []OS{o}, Audit: []AuditEntry{audit},
		Events: []Event{{At: audit.At, Kind: OSEdited, Message: message + byWhom(ctx)}}})
}
