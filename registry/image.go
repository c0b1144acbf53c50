package registry

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Image is a disk image in the store of one server: converted, and ready for any
// number of machines to fetch.
type Image struct {
	Name       string        `json:"name" doc:"SHA-256 of its index, in hexadecimal; the file is /boot/images/NAME.img.zst"`
	Title      string        `json:"title" doc:"what people call it" example:"debian-12-generic-amd64.qcow2"`
	Format     string        `json:"format" doc:"what it was converted from" example:"qcow2"`
	Size       int64         `json:"size" doc:"bytes of the raw image"`
	Data       int64         `json:"data" doc:"bytes of the raw image that are not in holes, and have to be written"`
	Packed     int64         `json:"packed" doc:"bytes of the file"`
	SHA256     string        `json:"sha256" doc:"of the raw image"`
	Origins    []ImageOrigin `json:"origins" doc:"where it came from, the latest last; different files may have the same image in them"`
	ImportedAt time.Time     `json:"imported_at"`
	VerifiedAt time.Time     `json:"verified_at,omitzero" doc:"when all of it was read and compared last"`
	Damage     string        `json:"damage,omitempty" doc:"what is wrong with the file: it is not served until it is imported again"`
}

// OriginOf is how an image came from a source last: from a file with that sum where
// there is one, and else from that URL.
func (i Image) OriginOf(src ImageSource) (of ImageOrigin, ok bool) {
	for _, o := range i.Origins {
		same := src.URL != "" && o.URL == src.URL
		if src.SHA256 != "" {
			same = strings.EqualFold(o.SHA256, src.SHA256)
		}
		if same {
			of, ok = o, true
		}
	}
	return of, ok
}

// ImageOrigin is a file that an image was in.
type ImageOrigin struct {
	URL     string    `json:"url,omitempty" doc:"empty for one that was uploaded"`
	SHA256  string    `json:"sha256" doc:"of the file there"`
	SHA512  string    `json:"sha512,omitempty" doc:"the same, where it was checked by that"`
	Checked string    `json:"checked,omitempty" enum:"sha256,sums,signature" doc:"against what it was checked: a sum in the request, a file of sums, or one that is signed; empty: nothing but the connection vouches for it"`
	At      time.Time `json:"at"`
}

// ImageSource is a file with an image, and what it is checked against.
type ImageSource struct {
	Title     string `json:"title,omitempty" maxLength:"128" doc:"what people call it; the name of the file where it is left out"`
	URL       string `json:"url" maxLength:"2048" doc:"http or https" example:"https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2"`
	Format    string `json:"format,omitempty" maxLength:"16" doc:"raw or qcow2, and .gz, .xz, .zst or .bz2 where it is packed; another one is refused; any is taken where it is left out" example:"qcow2"`
	SHA256    string `json:"sha256,omitempty" maxLength:"64" doc:"of the file, in hexadecimal"`
	Sums      string `json:"sums,omitempty" maxLength:"2048" doc:"URL of a file with SHA-256 or SHA-512 sums that lists it; without sha256" example:"https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"`
	Signature string `json:"signature,omitempty" maxLength:"2048" doc:"URL of the OpenPGP signature of sums; left out where that is signed in itself"`
	Key       string `json:"key,omitempty" maxLength:"262144" doc:"OpenPGP public keys, armored: sums has to be signed by one of them"`
}

// imageFormats are the disks that can be imported, and imagePackings how a file
// with one may be packed.
var (
	imageFormats  = []string{"raw", "qcow2"}
	imagePackings = []string{"", ".gz", ".xz", ".zst", ".bz2"}
)

// Validate reports everything that is wrong with src as an [*InvalidError].
func (src ImageSource) Validate() error {
	v := validator{}
	v.text("/title", src.Title)
	v.url("/url", src.URL)
	if src.URL == "" {
		v.add("/url", "it is missing")
	}
	v.url("/sums", src.Sums)
	v.url("/signature", src.Signature)
	v.imageFormat("/format", src.Format)
	if src.SHA256 != "" {
		v.sum("/sha256", src.SHA256)
	}
	switch {
	case src.SHA256 != "" && src.Sums != "":
		v.add("/sums", "want either a sum or a file of sums")
	case src.Signature != "" && src.Key == "":
		v.add("/key", "it is missing: a signature says nothing without the key it has to be of")
	case src.Key != "" && src.Sums == "":
		v.add("/sums", "it is missing: what is signed is a file of sums")
	}
	return v.err()
}

// url reports a URL that cannot be fetched from. Everybody who may look sees it, so
// there is no password in it.
func (v *validator) url(pointer, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		v.add(pointer, "want a URL that begins with http:// or https://")
	case u.User != nil:
		v.add(pointer, "it has a password in it, which everybody would see who may look")
	}
}

func (v *validator) sum(pointer, text string) {
	if b, err := hex.DecodeString(text); err != nil || len(b) != 32 {
		v.add(pointer, "want a SHA-256: 64 hexadecimal digits")
	}
}

func (v *validator) imageFormat(pointer, text string) {
	if text == "" {
		return
	}
	for _, format := range imageFormats {
		for _, packing := range imagePackings {
			if text == format+packing {
				return
			}
		}
	}
	v.add(pointer, fmt.Sprintf("want %s, and %s where it is packed", strings.Join(imageFormats, " or "), strings.Join(imagePackings[1:], ", ")))
}

// ImageUpload is a file with an image that is sent to the server, whole or in parts.
type ImageUpload struct {
	SHA256 string // of the whole file
	Size   int64  // of the whole file
	Offset int64  // of the part in it
	Title  string
	Format string
}

// Validate reports everything that is wrong with u as an [*InvalidError].
func (u ImageUpload) Validate() error {
	v := validator{}
	v.sum("/sha256", u.SHA256)
	v.text("/title", u.Title)
	v.imageFormat("/format", u.Format)
	if u.Size <= 0 || u.Size > maxBytes {
		v.add("/size", "want the size of the whole file, in bytes")
	} else if u.Offset < 0 || u.Offset > u.Size {
		v.add("/offset", "want where in the file this part begins")
	}
	return v.err()
}

// ImageJob is work of the image store that takes a while.
type ImageJob struct {
	ID        string        `json:"id"`
	Kind      ImageJobKind  `json:"kind" enum:"import,upload,verify"`
	State     ImageJobState `json:"state" enum:"receiving,waiting,running,succeeded,failed"`
	Title     string        `json:"title"`
	URL       string        `json:"url,omitempty" doc:"of an import"`
	Progress  Progress      `json:"progress" doc:"of its stage, in bytes: fetching, checking, unpacking, converting or verifying"`
	Image     string        `json:"image,omitempty" doc:"the name of the image that is verified, or that came of it"`
	Reason    string        `json:"reason,omitempty" doc:"why it failed, or why it is not getting on"`
	CreatedAt time.Time     `json:"created_at"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
}

// ImageJobKind is what a job is for.
type ImageJobKind string

// The kinds of jobs.
const (
	ImageImport ImageJobKind = "import" // of a file that is fetched
	ImageSent   ImageJobKind = "upload" // of a file that is sent
	ImageVerify ImageJobKind = "verify" // of an image in the store
)

// ImageJobState is where a job stands.
type ImageJobState string

// The states of a job.
const (
	ImageJobReceiving ImageJobState = "receiving" // the file is not whole yet; send what is missing
	ImageJobWaiting   ImageJobState = "waiting"   // for others to end
	ImageJobRunning   ImageJobState = "running"
	ImageJobSucceeded ImageJobState = "succeeded"
	ImageJobFailed    ImageJobState = "failed"
)

// ImageJobStates lists the states of a job.
func ImageJobStates() []ImageJobState {
	return []ImageJobState{ImageJobReceiving, ImageJobWaiting, ImageJobRunning, ImageJobSucceeded, ImageJobFailed}
}

// Ended reports whether nothing happens any more, unless it is asked for again.
func (s ImageJobState) Ended() bool { return s == ImageJobSucceeded || s == ImageJobFailed }

// CutError is of a file that ended before it was whole.
type CutError struct {
	Have, Size int64
	Cause      error
}

func (e *CutError) Error() string {
	return fmt.Sprintf("the file ends after %d of %d bytes: %v", e.Have, e.Size, e.Cause)
}

func (e *CutError) Unwrap() error { return e.Cause }

// ImageError is what cannot be done with images as things are.
type ImageError struct{ Why string }

func (e *ImageError) Error() string { return e.Why }

// SpaceError is a file system that is too full for what was asked. Some space is
// left to the database.
type SpaceError struct {
	Dir        string
	Free, Need int64 // bytes; Need counts what has to stay free
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the file system of %s has %d MB left, and this takes %d MB, of which some stay free for the database; "+
		"make room, for example with `dragonfly image gc`, and try again", e.Dir, e.Free/1e6, e.Need/1e6)
}

// ImageGC is what was removed because nobody needs it, or would be.
type ImageGC struct {
	Images []Image `json:"images" nullable:"false"`
	Bytes  int64   `json:"bytes" doc:"of these, of files that are no image's, and of imports that failed"`
}
