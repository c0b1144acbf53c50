package api

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
	"dragonfly/registry/manifest"
)

const (
	applyPath = "/api/v1/apply"
	csvType   = "text/csv"
)

// ApplyReply says what became of each document of a manifest, in their order, and
// then of each machine that none is about, where those are deleted.
type ApplyReply struct {
	ImportReply
	Deleted int    `json:"deleted" doc:"machines that no document is about"`
	Plan    string `json:"plan" doc:"of a dry run, its ETag: with it as If-Match this is done and nothing else"`
}

func (s *Server) mountApply(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "apply", Method: http.MethodPost, Path: applyPath,
		Summary: "Make machines, operating systems, rules and defaults what a manifest says", Tags: []string{"manifest"}, MaxBodyBytes: manifest.MaxText + 1,
		Description: "YAML as GET /api/v1/export writes it, up to 10,000 documents. Machines are recognised, edited and created as in a list (POST /api/v1/machines/import): " +
			"what a document does not say stays as it is, unless `exact` is set. Rules and defaults are replaced as a whole, and need an admin. " +
			"Each machine, each operating system, the rules, and the defaults, are written or refused on their own: the answer is 200 also where all were refused. " +
			"A text that cannot be read, or says a wrong thing, is refused as a whole, with the line of what is wrong, and so is one where something else would be done " +
			"than If-Match names. As text/csv it is a sheet: a line of column names (name, mac, serial, uuid, vendor, model, owner, note, tags, labels, label.KEY, os), and a line for each machine; " +
			"an empty cell says nothing. With `prune`, machines that no document is about are deleted, unless a document is refused.",
		Errors: []int{400, 403, 412, 413, 415, 422, 503}}, s.apply)
	content := api.OpenAPI().Paths[applyPath].Post.RequestBody.Content
	content[yamlType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}, Example: manifestExample}
	content[csvType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}, Example: "name,mac,tags,label.rack\nrack1-7,52:54:00:12:34:56,gpu,a1\n"}
}

type applyInput struct {
	DryRun      bool   `query:"dry_run" doc:"tell what would be done; change nothing"`
	Exact       bool   `query:"exact" doc:"what a document does not say of its machine is taken away, but for a lock"`
	Prune       bool   `query:"prune" doc:"delete machines that no document is about"`
	Filter      string `query:"filter" maxLength:"1000" doc:"with prune: only among machines that match" example:"label.rack:a1"`
	IfMatch     string `header:"If-Match" maxLength:"80" doc:"the ETag of a dry run of the same manifest: nothing else is done than what that told"`
	RawBody     []byte `contentType:"application/yaml"`
	contentType string
}

// Resolve is [huma.Resolver.Resolve].
func (in *applyInput) Resolve(ctx huma.Context) []error {
	in.contentType = ctx.Header("Content-Type")
	return nil
}

type applyOutput struct {
	ETag string `header:"ETag"`
	Body ApplyReply
}

func (s *Server) apply(ctx context.Context, in *applyInput) (*applyOutput, error) {
	docs, err := in.read()
	if err != nil {
		return nil, err
	}
	wanted, err := in.wanted(docs)
	if err != nil {
		return nil, err
	}
	if err := mayApply(registry.ActorOf(ctx), docs); err != nil {
		return nil, err
	}
	if in.DryRun {
		ctx = registry.WithDryRun(ctx)
	}
	done, err := s.registry.Apply(ctx, wanted)
	switch {
	case errors.Is(err, registry.ErrPlan):
		return nil, huma.Error412PreconditionFailed(err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return nil, huma.ErrorWithHeaders(huma.Error503ServiceUnavailable("there was no time for all of it: what was done stays done; ask again for the rest"),
			http.Header{"Retry-After": {"1"}})
	case err != nil:
		return nil, s.problem(err)
	}
	out := &applyOutput{Body: s.applyReply(docs, done)}
	out.Body.DryRun = in.DryRun
	if in.DryRun {
		out.Body.Plan = done.Plan()
		out.ETag = strconv.Quote(out.Body.Plan)
		return out, nil
	}
	s.log.Info("a manifest was applied", "created", out.Body.Created, "edited", out.Body.Edited, "unchanged", out.Body.Unchanged,
		"deleted", out.Body.Deleted, "refused", out.Body.Refused, "by", registry.ActorOf(ctx).Name)
	return out, nil
}

// mayApply refuses what concerns everybody to whoever is no admin.
func mayApply(actor registry.Actor, docs []manifest.Document) error {
	if registry.Role(actor.Role).Includes(registry.Admin) {
		return nil
	}
	for _, doc := range docs {
		if doc.Kind == manifest.Rules || doc.Kind == manifest.Defaults {
			return huma.Error403Forbidden(fmt.Sprintf("the %s need the role %s; %s has the role %s: nothing was changed; leave the document of kind %s out, or ask as an %s",
				strings.ToLower(string(doc.Kind)), registry.Admin, actor.Name, actor.Role, doc.Kind, registry.Admin))
		}
	}
	return nil
}

// read reads the manifest.
func (in *applyInput) read() ([]manifest.Document, error) {
	kind, _, err := mime.ParseMediaType(in.contentType)
	if in.contentType != "" && (err != nil || !slices.Contains([]string{yamlType, "application/x-yaml", "text/yaml", "text/x-yaml", "application/json", csvType}, kind)) {
		return nil, huma.Error415UnsupportedMediaType("a manifest is YAML, or CSV: send it with Content-Type: " + yamlType + " or " + csvType)
	}
	docs, err := in.parse(kind)
	if wrong, ok := errors.AsType[*manifest.InvalidError](err); ok {
		return nil, unreadable(wrong)
	}
	return docs, err
}

func (in *applyInput) parse(kind string) ([]manifest.Document, error) {
	if kind == csvType {
		return manifest.ParseList(in.RawBody, manifest.CSV, registry.MaxImport)
	}
	return manifest.Parse(in.RawBody)
}

// unreadable is the problem with a text that is no manifest.
func unreadable(wrong *manifest.InvalidError) *Error {
	e := &Error{Status: http.StatusUnprocessableEntity, Detail: "the manifest is not acceptable: nothing was changed"}
	if wrong.Syntax() {
		e.Status, e.Detail = http.StatusBadRequest, "the manifest cannot be read: nothing was changed"
	}
	e.Title = http.StatusText(e.Status)
	for _, p := range wrong.Problems[:min(len(wrong.Problems), maxErrors)] {
		e.Errors = append(e.Errors, FieldError{In: "body", Pointer: fmt.Sprintf("/%d%s", p.Document, p.Pointer), Line: p.Line, Message: p.Text()})
	}
	return e
}

// wanted is what is asked for.
func (in *applyInput) wanted(docs []manifest.Document) (w registry.Wanted, err error) {
	wrong := func(name, message string) error {
		return huma.Error422UnprocessableEntity("the "+name+" cannot be used", &huma.ErrorDetail{Location: "query." + name, Message: message})
	}
	w = registry.Wanted{Exact: in.Exact, Prune: in.Prune}
	if !in.Prune && in.Filter != "" {
		return w, wrong("filter", "it says among which machines to prune; set prune too, or leave it out")
	}
	if w.Among, err = registry.ParseFilter(in.Filter); err != nil {
		return w, wrong("filter", err.Error())
	}
	if in.IfMatch != "*" {
		w.Plan = strings.Trim(in.IfMatch, `"`)
	}
	for _, doc := range docs {
		switch doc.Kind {
		case manifest.Machine:
			w.Machines = append(w.Machines, doc.Machine)
		case manifest.OperatingSystem:
			w.OSes = append(w.OSes, doc.OS)
		case manifest.Rules:
			w.Rules = doc.Rules
		case manifest.Defaults:
			w.Defaults = &doc.Defaults
		}
	}
	return w, nil
}

func (s *Server) applyReply(docs []manifest.Document, done registry.Applied) (reply ApplyReply) {
	reply.Results = make([]ImportResult, 0, len(docs)+len(done.Deleted))
	machine, system := 0, 0
	for _, doc := range docs {
		result := ImportResult{}
		switch doc.Kind {
		case manifest.Machine:
			result = s.importResult(done.Machines[machine])
			machine++
		case manifest.OperatingSystem:
			result = s.settingResult(done.OSes[system].SettingStep)
			result.Name = doc.OS.ID
			system++
		case manifest.Rules:
			result = s.settingResult(done.Rules.SettingStep)
		case manifest.Defaults:
			result = s.settingResult(done.Defaults.SettingStep)
		}
		result.Kind, result.Line, result.Plan = string(doc.Kind), doc.Line, ""
		reply.add(result)
	}
	for _, step := range done.Deleted {
		result := s.importResult(step)
		result.Kind, result.Plan = string(manifest.Machine), ""
		if reply.add(result); result.Problem == nil {
			reply.Deleted++
		}
	}
	return reply
}

// settingResult is what became of what is no machine.
func (s *Server) settingResult(step registry.SettingStep) ImportResult {
	result := ImportResult{Action: step.Action, Changes: step.Changes}
	if step.Err != nil {
		result.Problem = errorOf(s.importProblem(step.Err))
	}
	return result
}

// Apply is what [Client.Apply] asks for.
type Apply struct {
	DryRun, Exact, Prune bool
	Filter               string // among which machines to prune
	Plan                 string // that of a dry run: nothing else is done
}

// Apply makes what is there what a manifest says, or tells what that would do.
// What became of each document is in the reply, also where all were refused.
func (c *Client) Apply(ctx context.Context, text []byte, a Apply) (ApplyReply, error) {
	query := url.Values{}
	for name, set := range map[string]bool{"dry_run": a.DryRun, "exact": a.Exact, "prune": a.Prune} {
		if set {
			query.Set(name, "true")
		}
	}
	if a.Filter != "" {
		query.Set("filter", a.Filter)
	}
	header := http.Header{}
	if a.Plan != "" {
		header.Set("If-Match", strconv.Quote(a.Plan))
	}
	var reply ApplyReply
	err := c.doWith(ctx, http.MethodPost, applyPath+"?"+query.Encode(), header, yamlText(text), &reply)
	return reply, err
}
