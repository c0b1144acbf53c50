package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// Images are the disk images that lie on the server.
type Images interface {
	List() []registry.Image
	// Get is the image of a name, or of the beginning of one.
	Get(name string) (registry.Image, error)
	// Delete removes an image; by force also one that is needed.
	Delete(ctx context.Context, name string, force bool) (registry.Image, error)
	// GC removes what nobody needs, or says what that is.
	GC(ctx context.Context, dryRun bool) (registry.ImageGC, error)
}

// ImageJobs is what takes a while to do with images.
type ImageJobs interface {
	Jobs() []registry.ImageJob
	Job(id string) (registry.ImageJob, error)
	// Import begins to fetch an image.
	Import(ctx context.Context, src registry.ImageSource) (registry.ImageJob, error)
	// Verify begins to read all of an image.
	Verify(ctx context.Context, name string) (registry.ImageJob, error)
	// Cancel ends a job and removes all it has.
	Cancel(ctx context.Context, id string) error
}

// ImageUploads take files with images.
type ImageUploads interface {
	// Upload takes a part of a file.
	Upload(ctx context.Context, u registry.ImageUpload, body io.Reader) (registry.ImageJob, error)
	// Uploaded is how much of the file with a SHA-256 has arrived.
	Uploaded(sum string) (registry.ImageJob, error)
}

// ImageStore is all of that.
type ImageStore interface {
	Images
	ImageJobs
	ImageUploads
}

const imagesPath = "/api/v1/images"

// stalled is how long an upload may bring nothing.
const stalled = time.Minute

func (s *Server) mountImages(api huma.API) {
	tags := []string{"images"}
	accepted := http.StatusAccepted
	huma.Register(api, huma.Operation{OperationID: "list-images", Method: http.MethodGet, Path: imagesPath,
		Summary: "The images on this server, the latest first, and the work on images", Tags: tags}, s.listImages)
	huma.Register(api, huma.Operation{OperationID: "import-image", Method: http.MethodPost, Path: imagesPath,
		Summary: "Fetch an image from a URL, check and convert it", Tags: tags, DefaultStatus: accepted, MaxBodyBytes: maxBody,
		Description: "The answer is the job that does it: it goes on over restarts of the server, and resumes where a connection broke. " +
			"The same source, asked for again while it is under way, is the same job; after it failed, it is tried again. " +
			"An image lies on the server that was asked; the members of a cluster have their own.", Errors: []int{409, 422}}, s.importImage)
	huma.Register(api, huma.Operation{OperationID: "get-image", Method: http.MethodGet, Path: imagesPath + "/{name}",
		Summary: "One image", Tags: tags, Errors: []int{404, 409}}, s.getImage)
	huma.Register(api, huma.Operation{OperationID: "delete-image", Method: http.MethodDelete, Path: imagesPath + "/{name}",
		Summary: "Delete an image", Tags: tags, Description: "Machines that fetch it now go on to the end of what they asked for.",
		Errors: []int{404, 409, 503}}, s.deleteImage)
	huma.Register(api, huma.Operation{OperationID: "verify-image", Method: http.MethodPost, Path: imagesPath + "/{name}/verify",
		Summary: "Read all of an image and compare every sum", Tags: tags, DefaultStatus: accepted,
		Description: "The answer is the job that does it. An image that is found damaged is not served until it is imported again.", Errors: []int{404, 409}}, s.verifyImage)
	huma.Register(api, huma.Operation{OperationID: "gc-images", Method: http.MethodPost, Path: imagesPath + "/gc",
		Summary: "Delete the images that nothing needs, and what is left of imports that failed", Tags: tags, Errors: []int{503}}, s.gcImages)
	huma.Register(api, huma.Operation{OperationID: "get-image-job", Method: http.MethodGet, Path: imagesPath + "/jobs/{id}",
		Summary: "How far an import, an upload or a verification is", Tags: tags, Errors: []int{404}}, s.getImageJob)
	huma.Register(api, huma.Operation{OperationID: "cancel-image-job", Method: http.MethodDelete, Path: imagesPath + "/jobs/{id}",
		Summary: "Cancel a job, or forget one that has ended; what was fetched for it is deleted", Tags: tags, Errors: []int{404}}, s.cancelImageJob)
	huma.Register(api, huma.Operation{OperationID: "get-image-upload", Method: http.MethodGet, Path: imagesPath + "/uploads/{sha256}",
		Summary: "How much of a file has arrived", Tags: tags, Errors: []int{404}}, s.getImageUpload)
	huma.Register(api, huma.Operation{OperationID: "upload-image", Method: http.MethodPut, Path: imagesPath + "/uploads/{sha256}",
		Summary: "Send a file with an image, or go on with one", Tags: tags, DefaultStatus: accepted, BodyReadTimeout: -1,
		Description: "The file may have any size. What has arrived is kept when a connection breaks: ask how much that is, and send the rest with its offset. " +
			"When the file is whole it is checked and converted; the answer is the job that does it.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
		Errors:      []int{409, 422, 507}}, s.uploadImage)
}

type imageJobOutput struct {
	Location string `header:"Location"`
	Body     registry.ImageJob
}

// imageJob is the answer with a job, and where it can be asked about.
func imageJob(job registry.ImageJob) *imageJobOutput {
	return &imageJobOutput{imagesPath + "/jobs/" + job.ID, job}
}

// ImageList is the images on a server, and what is at work on them.
type ImageList struct {
	Images []registry.Image    `json:"images" nullable:"false"`
	Jobs   []registry.ImageJob `json:"jobs" nullable:"false" doc:"under way, failed, or ended within the last hour"`
}

type imageListOutput struct{ Body ImageList }

func (s *Server) listImages(_ context.Context, _ *struct{}) (*imageListOutput, error) {
	return &imageListOutput{ImageList{s.images.List(), s.images.Jobs()}}, nil
}

type importImageInput struct{ Body registry.ImageSource }

func (s *Server) importImage(ctx context.Context, in *importImageInput) (*imageJobOutput, error) {
	job, err := s.images.Import(ctx, in.Body)
	if err != nil {
		return nil, s.problem(err)
	}
	s.registry.Note(ctx, "image.import", "image/"+job.ID, in.Body)
	return imageJob(job), nil
}

type imageInput struct {
	Name string `path:"name" maxLength:"64" doc:"the name, or its first 6 characters or more"`
}

type imageOutput struct{ Body registry.Image }

func (s *Server) getImage(_ context.Context, in *imageInput) (*imageOutput, error) {
	image, err := s.images.Get(in.Name)
	if err != nil {
		return nil, s.problem(err)
	}
	return &imageOutput{image}, nil
}

type deleteImageInput struct {
	Name  string `path:"name" maxLength:"64" doc:"the name, or its first 6 characters or more"`
	Force bool   `query:"force" doc:"even if something needs it"`
}

func (s *Server) deleteImage(ctx context.Context, in *deleteImageInput) (*struct{}, error) {
	image, err := s.images.Delete(ctx, in.Name, in.Force)
	if err != nil {
		return nil, s.problem(err)
	}
	s.registry.Note(ctx, "image.delete", "image/"+image.Name, nil)
	return nil, nil
}

func (s *Server) verifyImage(ctx context.Context, in *imageInput) (*imageJobOutput, error) {
	job, err := s.images.Verify(ctx, in.Name)
	if err != nil {
		return nil, s.problem(err)
	}
	return imageJob(job), nil
}

type gcImagesInput struct {
	DryRun bool `query:"dry_run" doc:"only say what would be deleted"`
}

type gcImagesOutput struct{ Body registry.ImageGC }

func (s *Server) gcImages(ctx context.Context, in *gcImagesInput) (*gcImagesOutput, error) {
	gone, err := s.images.GC(ctx, in.DryRun)
	if err != nil {
		return nil, s.problem(err)
	}
	if !in.DryRun {
		for _, image := range gone.Images {
			s.registry.Note(ctx, "image.gc", "image/"+image.Name, nil)
		}
	}
	return &gcImagesOutput{gone}, nil
}

type imageJobInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) getImageJob(_ context.Context, in *imageJobInput) (*imageJobOutput, error) {
	job, err := s.images.Job(in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	return imageJob(job), nil
}

func (s *Server) cancelImageJob(ctx context.Context, in *imageJobInput) (*struct{}, error) {
	if err := s.images.Cancel(ctx, in.ID); err != nil {
		return nil, s.problem(err)
	}
	s.registry.Note(ctx, "image.cancel", "image/"+in.ID, nil)
	return nil, nil
}

type uploadedInput struct {
	SHA256 string `path:"sha256" pattern:"^[0-9A-Fa-f]{64}$" doc:"of the whole file, in hexadecimal"`
}

func (s *Server) getImageUpload(_ context.Context, in *uploadedInput) (*imageJobOutput, error) {
	job, err := s.images.Uploaded(in.SHA256)
	if err != nil {
		return nil, s.problem(err)
	}
	return imageJob(job), nil
}

type uploadInput struct {
	SHA256 string `path:"sha256" pattern:"^[0-9A-Fa-f]{64}$" doc:"of the whole file, in hexadecimal"`
	Offset int64  `query:"offset" minimum:"0" doc:"where in the file the body begins"`
	Size   int64  `query:"size" minimum:"0" doc:"of the whole file; where it is left out, the file ends with the body"`
	Title  string `query:"title" maxLength:"128" doc:"what people call it"`
	Format string `query:"format" maxLength:"16" doc:"as for an import"`
	length int64
	body   io.Reader
}

// Resolve is [huma.Resolver]: it takes the body as it comes, which may be larger than
// the memory.
func (in *uploadInput) Resolve(ctx huma.Context) []error {
	in.body = &unhurried{ctx.BodyReader(), ctx}
	in.length, _ = strconv.ParseInt(ctx.Header("Content-Length"), 10, 64)
	return nil
}

// unhurried is a body that may take any time, as long as something comes.
type unhurried struct {
	io.Reader
	ctx huma.Context
}

func (u *unhurried) Read(p []byte) (int, error) {
	_ = u.ctx.SetReadDeadline(time.Now().Add(stalled)) // a test's writer has none
	n, err := u.Reader.Read(p)
	if err == io.EOF {
		_ = u.ctx.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (s *Server) uploadImage(ctx context.Context, in *uploadInput) (*imageJobOutput, error) {
	u := registry.ImageUpload{SHA256: in.SHA256, Size: in.Size, Offset: in.Offset, Title: in.Title, Format: in.Format}
	if u.Size == 0 {
		u.Size = u.Offset + in.length
	}
	if err := u.Validate(); err != nil {
		return nil, s.uploadProblem(err)
	}
	job, err := s.images.Upload(ctx, u, in.body)
	if err != nil {
		return nil, s.uploadProblem(err)
	}
	if job.State != registry.ImageJobReceiving {
		s.registry.Note(ctx, "image.upload", "image/"+job.ID, map[string]any{"sha256": in.SHA256, "size": u.Size, "title": u.Title})
	}
	return imageJob(job), nil
}

// uploadProblem is [Server.problem] of what is said in the path and the query, and of
// a body that breaks off.
func (s *Server) uploadProblem(err error) error {
	if invalid, ok := errors.AsType[*registry.InvalidError](err); ok {
		e := refused(invalid)
		for i := range e.Errors {
			e.Errors[i].In = "query"
		}
		return e
	}
	if cut, ok := errors.AsType[*registry.CutError](err); ok {
		return huma.Error400BadRequest(cut.Error() + "; what has arrived is kept: ask how much that is, and send the rest")
	}
	return s.problem(err)
}

// Images are the images on the server, and the work on them.
func (c *Client) Images(ctx context.Context) (ImageList, error) {
	var reply ImageList
	err := c.do(ctx, http.MethodGet, imagesPath, nil, &reply)
	return reply, err
}

// Image is one image, by its name or the beginning of it.
func (c *Client) Image(ctx context.Context, name string) (registry.Image, error) {
	var reply registry.Image
	err := c.do(ctx, http.MethodGet, imageURL(name), nil, &reply)
	return reply, err
}

func imageURL(name string) string { return imagesPath + "/" + url.PathEscape(name) }

// ImportImage has the server fetch an image.
func (c *Client) ImportImage(ctx context.Context, src registry.ImageSource) (registry.ImageJob, error) {
	var reply registry.ImageJob
	err := c.do(ctx, http.MethodPost, imagesPath, src, &reply)
	return reply, err
}

// VerifyImage has the server read all of an image.
func (c *Client) VerifyImage(ctx context.Context, name string) (registry.ImageJob, error) {
	var reply registry.ImageJob
	err := c.do(ctx, http.MethodPost, imageURL(name)+"/verify", nil, &reply)
	return reply, err
}

// DeleteImage deletes an image; by force also one that something needs.
func (c *Client) DeleteImage(ctx context.Context, name string, force bool) error {
	return c.do(ctx, http.MethodDelete, fmt.Sprintf("%s?force=%v", imageURL(name), force), nil, nil)
}

// CollectImages deletes the images that nothing needs, or says which those are.
func (c *Client) CollectImages(ctx context.Context, dryRun bool) (registry.ImageGC, error) {
	var reply registry.ImageGC
	err := c.do(ctx, http.MethodPost, fmt.Sprintf("%s/gc?dry_run=%v", imagesPath, dryRun), nil, &reply)
	return reply, err
}

// ImageJob is how far a job is.
func (c *Client) ImageJob(ctx context.Context, id string) (registry.ImageJob, error) {
	var reply registry.ImageJob
	err := c.do(ctx, http.MethodGet, imagesPath+"/jobs/"+url.PathEscape(id), nil, &reply)
	return reply, err
}

// CancelImageJob cancels a job.
func (c *Client) CancelImageJob(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, imagesPath+"/jobs/"+url.PathEscape(id), nil, nil)
}

// UploadedImage is how much of the file with a SHA-256 has arrived.
func (c *Client) UploadedImage(ctx context.Context, sum string) (registry.ImageJob, error) {
	var reply registry.ImageJob
	err := c.do(ctx, http.MethodGet, imagesPath+"/uploads/"+sum, nil, &reply)
	return reply, err
}

// UploadImage sends a file from its offset to its end.
func (c *Client) UploadImage(ctx context.Context, u registry.ImageUpload, rest io.Reader) (registry.ImageJob, error) {
	query := url.Values{"offset": {strconv.FormatInt(u.Offset, 10)}, "size": {strconv.FormatInt(u.Size, 10)}, "title": {u.Title}, "format": {u.Format}}
	var reply registry.ImageJob
	req, err := c.request(ctx, http.MethodPut, imagesPath+"/uploads/"+strings.ToLower(u.SHA256)+"?"+query.Encode(), nil)
	if err != nil {
		return reply, err
	}
	req.Body, req.ContentLength = io.NopCloser(rest), u.Size-u.Offset
	if req.ContentLength == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := c.http().Do(req)
	if err != nil {
		return reply, err
	}
	defer resp.Body.Close()
	return reply, decode(resp, &reply)
}
