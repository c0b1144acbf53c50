package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// sendTries is how often in a row sending goes on after a connection broke without
// one more byte there.
const sendTries = 5

// sendImage sends what the server has not got of a file, until it has all.
func sendImage(cmd *cobra.Command, path string, u registry.ImageUpload) (job registry.ImageJob, err error) {
	file, err := os.Open(path)
	if err != nil {
		return job, err
	}
	defer file.Close()
	line := newStatusLine(cmd)
	defer line.end()
	if u.SHA256, u.Size, err = sumOf(cmd.Context(), file, line); err != nil {
		return job, err
	}
	if u.Title == "" {
		u.Title = filepath.Base(path)
	}
	client := control(cmd)
	for try := 1; ; try++ {
		before := u.Offset
		if u.Offset, err = arrived(cmd.Context(), client, u); err != nil {
			return job, err
		}
		if u.Offset > before {
			try = 1
		}
		rest := &progressReader{r: io.NewSectionReader(file, u.Offset, u.Size-u.Offset), done: u.Offset,
			tell: func(done int64) { line.progress("sending", done, u.Size, 0) }}
		job, err = client.UploadImage(cmd.Context(), u, rest)
		if err == nil || try == sendTries || cmd.Context().Err() != nil || final(err) {
			return job, err
		}
		time.Sleep(time.Duration(try) * time.Second)
	}
}

// final reports whether an answer would be the same another time. A body that broke
// off is told as 400.
func final(err error) bool {
	status := api.Status(err)
	return status > 400 && status < 500 || status == 507
}

// arrived is how much of a file the server has.
func arrived(ctx context.Context, client *api.Client, u registry.ImageUpload) (int64, error) {
	job, err := client.UploadedImage(ctx, u.SHA256)
	if api.Status(err) == 404 {
		return 0, nil
	}
	if err != nil || job.State != registry.ImageJobReceiving && job.State != registry.ImageJobFailed {
		return 0, err
	}
	return job.Progress.Done, nil
}

// sumOf is the SHA-256 and the size of a file.
func sumOf(ctx context.Context, file *os.File, line *statusLine) (sum string, size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, errors.New("it is not a file")
	}
	h := sha256.New()
	size, err = io.Copy(h, &progressReader{r: file, tell: func(done int64) { line.progress("reading", done, info.Size(), 0) }, ctx: ctx})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// progressReader tells how far it was read.
type progressReader struct {
	r    io.Reader
	ctx  context.Context // may be nil
	done int64
	tell func(done int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	if p.ctx != nil && p.ctx.Err() != nil {
		return 0, p.ctx.Err()
	}
	n, err := p.r.Read(b)
	p.done += int64(n)
	p.tell(p.done)
	return n, err
}
