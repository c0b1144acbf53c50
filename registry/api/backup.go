package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"dragonfly/registry"
)

// BackupKeeper copies what the appliance knows.
type BackupKeeper interface {
	// Write copies everything, as it is now, and notes that it was handed out. It
	// writes nothing where it errs at once: with [registry.ErrUnavailable], or a
	// [*registry.RefusalError].
	Write(ctx context.Context, w io.Writer) error
	// Last is what is known of the last ones.
	Last(ctx context.Context) (registry.Backups, error)
	// ReadBack notes that the last one was read back, and has this SHA-256.
	ReadBack(ctx context.Context, sha256 string) (registry.Backup, error)
}

// BackupType is the type of a backup: a tar in zstd.
const BackupType = "application/zstd"

const backupPath = "/api/v1/backup"

func (s *Server) mountBackup(api huma.API) {
	tags := []string{"backup"}
	huma.Register(api, huma.Operation{OperationID: "take-backup", Method: http.MethodGet, Path: backupPath, Tags: tags, Errors: []int{409, 503},
		Summary: "A copy of everything but images, to be restored with dragonfly restore",
		Description: "The answer is a tar in zstd: manifest.json with a SHA-256 of each file, database.sqlite, and secrets.key, which opens every secret in the database: keep it where nobody else reads it. " +
			"The database is copied as it is at one moment, and checked before the first byte is sent; an answer that breaks off is none. What was handed out counts as a backup when it was read back: see the other route.",
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			BackupType: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}}, s.takeBackup)
	huma.Register(api, huma.Operation{OperationID: "get-last-backup", Method: http.MethodGet, Path: backupPath + "/last", Tags: tags, Errors: []int{503},
		Summary: "What is known of the last backups"}, s.lastBackup)
	huma.Register(api, huma.Operation{OperationID: "confirm-backup", Method: http.MethodPut, Path: backupPath + "/last", Tags: tags, Errors: []int{409, 422, 503},
		Summary:     "Say that the last backup was read back from where it is kept",
		Description: "With the SHA-256 of what was read there. It has to be that of what was handed out last; then it counts as the last backup."}, s.confirmBackup)
}

func (s *Server) takeBackup(context.Context, *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		out := &attachment{w: w, name: "dragonfly-" + s.now().UTC().Format("20060102T150405Z") + ".tar.zst"}
		if r.Method == http.MethodHead { // nothing would be handed out
			out.begin()
			return
		}
		err := s.backups.Write(r.Context(), out)
		switch {
		case err == nil:
		case !out.begun:
			s.writeProblem(w, s.problem(err))
		default:
			s.log.Warn("a backup broke off", "err", err)
			panic(http.ErrAbortHandler) // or what was written would pass for all of it
		}
	}}, nil
}

// attachment begins an answer with the first byte of it, so that what goes wrong before
// is answered with a problem.
type attachment struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (a *attachment) begin() {
	if a.begun {
		return
	}
	a.begun = true
	a.w.Header().Set("Content-Type", BackupType)
	a.w.Header().Set("Content-Disposition", "attachment; filename="+a.name)
	a.w.Header().Set("Cache-Control", "no-store")
	a.w.WriteHeader(http.StatusOK)
}

// Write is [io.Writer.Write].
func (a *attachment) Write(p []byte) (int, error) {
	a.begin()
	return a.w.Write(p)
}

type backupsOutput struct{ Body registry.Backups }

func (s *Server) lastBackup(ctx context.Context, _ *struct{}) (*backupsOutput, error) {
	last, err := s.backups.Last(ctx)
	if err != nil {
		return nil, s.problem(err)
	}
	return &backupsOutput{last}, nil
}

type confirmBackupInput struct {
	Body struct {
		SHA256 string `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"of all that was read"`
	}
}

type backupOutput struct{ Body registry.Backup }

func (s *Server) confirmBackup(ctx context.Context, in *confirmBackupInput) (*backupOutput, error) {
	b, err := s.backups.ReadBack(ctx, in.Body.SHA256)
	if err != nil {
		return nil, s.problem(err)
	}
	return &backupOutput{b}, nil
}

// Backup writes a copy of everything but images to w. Where it errs, what was written
// is worth nothing.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, backupPath, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return decode(resp, nil)
	}
	if kind := resp.Header.Get("Content-Type"); kind != BackupType {
		return fmt.Errorf("the answer is %.80q, and no backup: is it a Dragonfly?", kind)
	}
	_, err = io.Copy(w, resp.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server broke off; its log says why")
	}
	return err
}

// ConfirmBackup says that the last backup was read back, and has this SHA-256.
func (c *Client) ConfirmBackup(ctx context.Context, sha256 string) (registry.Backup, error) {
	var reply registry.Backup
	err := c.do(ctx, http.MethodPut, backupPath+"/last", map[string]string{"sha256": sha256}, &reply)
	return reply, err
}
