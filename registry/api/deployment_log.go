package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"dragonfly/registry"
)

const (
	logPage  = 500         // lines that are read at once
	logAgain = time.Second // how often a log that is followed is looked at
)

func (s *Server) mountDeploymentLog(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "deployment-log", Method: http.MethodGet, Path: deploymentPath + "/log",
		Summary: "What the actions of a deployment said, as text", Tags: []string{"deployments"},
		Description: "A line is the time, the number of the action, and what it said. Of each attempt the first 1,000 lines and the newest 4,000 are kept; " +
			"where lines are missing, one says so. With follow the answer goes on until the deployment has ended.",
		Errors: []int{404, 503}, Responses: plainText("lines of text", "2026-11-23T12:00:00Z 1 writing /dev/disk/by-id/nvme-X\n")}, s.deploymentLog)
}

type logInput struct {
	ID     string `path:"id" maxLength:"32" doc:"ID of a deployment" example:"d-4k2j7q3mzt5a"`
	Follow bool   `query:"follow" doc:"go on until the deployment has ended"`
}

func (s *Server) deploymentLog(ctx context.Context, in *logInput) (*huma.StreamResponse, error) {
	if _, err := s.registry.Deployment(ctx, in.ID); err != nil {
		return nil, s.problem(err)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		s.writeLog(r.Context(), w, in)
	}}, nil
}

// writeLog writes the log, until it ends, or the deployment does where it is
// followed, or the client goes away.
func (s *Server) writeLog(ctx context.Context, w http.ResponseWriter, in *logInput) {
	out := http.NewResponseController(w)
	for at := (registry.LinePosition{}); ; {
		d, err := s.registry.Deployment(ctx, in.ID) // before the lines: those of one that has ended are all there
		lines, errLines := s.registry.Lines(ctx, in.ID, at, logPage)
		if ctx.Err() != nil {
			return
		}
		_ = out.SetWriteDeadline(s.now().Add(sseWrite))
		for _, l := range lines {
			at = writeLine(w, at, l)
		}
		if out.Flush() != nil {
			return
		}
		switch {
		case len(lines) == logPage:
		case !in.Follow || err == nil && errLines == nil && d.State.Ended():
			return
		case !sleep(ctx, logAgain): // also while the database is away
			return
		}
	}
}

// writeLine writes a line behind the one at a position, and returns its own.
func writeLine(w io.Writer, at registry.LinePosition, l registry.DeploymentLine) registry.LinePosition {
	next := registry.LinePosition{Attempt: l.Attempt}
	switch {
	case l.Attempt != at.Attempt && l.Attempt > 1:
		fmt.Fprintf(w, "--- attempt %d\n", l.Attempt)
	case l.Attempt == at.Attempt:
		next.N = at.N + 1
	}
	if missing := l.N - next.N; missing > 0 {
		fmt.Fprintf(w, "--- %d lines are not kept\n", missing)
	}
	fmt.Fprintf(w, "%s %d %s\n", l.At.UTC().Format(time.RFC3339), l.Action+1, l.Text)
	return l.LinePosition
}

// DeploymentLog hands each line of a deployment's log to each, until the log ends or,
// where it is followed, the deployment does.
func (c *Client) DeploymentLog(ctx context.Context, id string, follow bool, each func(line string) error) error {
	req, err := c.request(ctx, http.MethodGet, deploymentURL(id, fmt.Sprintf("/log?follow=%v", follow)), nil)
	if err != nil {
		return err
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return decode(resp, nil)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if err := each(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}
