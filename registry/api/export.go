package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"dragonfly/registry"
	"dragonfly/registry/manifest"
)

const (
	exportPath = "/api/v1/export"
	yamlType   = "application/yaml" // RFC 9512

	// asOfHeader is on an export while the database is away: when what it says was
	// known, as RFC 3339 has it.
	asOfHeader = "Dragonfly-As-Of"

	exportBuffer = 64 << 10         // bytes that are sent at once
	exportWrite  = 30 * time.Second // a reader that takes longer than this for them is cut off
)

// The parts of a manifest.
const (
	Machines    = "machines"
	RulesSet    = "rules"
	DefaultsSet = "defaults"
	Catalogue   = "oses"
)

// Parts are the parts of a manifest.
func Parts() []string { return []string{Machines, Catalogue, RulesSet, DefaultsSet} }

func (s *Server) mountExport(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "export", Method: http.MethodGet, Path: exportPath,
		Summary: "Machines, operating systems, rules and defaults as YAML, to be kept in git", Tags: []string{"manifest"},
		Description: "A document for the defaults and one for the rules, where there are any, one for each operating system that was added to the catalogue or changed, and one for each machine, by name: what it is recognised by, and what operators say of it. " +
			"The same machines give the same text. POST /api/v1/apply takes it. No secret is in it. While the database is away it is what was known, " +
			"which its first line and the header " + asOfHeader + " say. An export that breaks off ends the connection without the end of the answer.",
		Errors: []int{422, 503},
		Responses: map[string]*huma.Response{"200": {Description: "a manifest",
			Headers: map[string]*huma.Param{asOfHeader: {Description: "the database is away: what is answered was known at this time", Schema: &huma.Schema{Type: huma.TypeString, Format: "date-time"}}},
			Content: map[string]*huma.MediaType{yamlType: {Schema: &huma.Schema{Type: huma.TypeString}, Example: manifestExample}}}},
	}, s.export)
}

const manifestExample = `apiVersion: dragonfly/v1
kind: Machine
name: rack1-7
macs:
- "52:54:00:12:34:56"
serial: 7XK2Q54
owner: ana
labels:
  rack: a1
`

type exportInput struct {
	Filter string   `query:"filter" maxLength:"1000" doc:"only the machines that match, as in the list of machines" example:"label.rack:a1"`
	Only   []string `query:"only" enum:"machines,oses,rules,defaults" maxItems:"4" doc:"only these parts; all when left out"`
}

func (s *Server) export(_ context.Context, in *exportInput) (*huma.StreamResponse, error) {
	filter, err := registry.ParseFilter(in.Filter)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity("the filter cannot be read", &huma.ErrorDetail{Location: "query.filter", Message: err.Error()})
	}
	if len(in.Only) == 0 {
		in.Only = Parts()
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		out := &exportWriter{w: w, rc: http.NewResponseController(w), asOf: s.registry.Outage().AsOf}
		err := s.writeManifest(r.Context(), out, in.Only, filter)
		switch {
		case err == nil:
		case !out.begun:
			s.writeProblem(w, s.problem(err))
		default:
			s.log.Warn("an export broke off", "err", err)
			panic(http.ErrAbortHandler) // or what was written would pass for all of it
		}
	}}, nil
}

// writeManifest writes the parts of a manifest.
func (s *Server) writeManifest(ctx context.Context, out *exportWriter, only []string, filter registry.Filter) error {
	buffered := bufio.NewWriterSize(out, exportBuffer)
	if !out.asOf.IsZero() {
		fmt.Fprintf(buffered, "# The database is away: this is what was known of it at %s.\n", out.asOf.UTC().Format(time.RFC3339))
	}
	w := manifest.NewWriter(buffered)
	if err := s.writeSettings(ctx, w, only); err != nil {
		return err
	}
	if slices.Contains(only, Machines) {
		if err := s.registry.Each(ctx, filter, func(some []registry.Machine) error { return out.machines(w, some) }); err != nil {
			return err
		}
	}
	return errors.Join(buffered.Flush(), out.end())
}

// writeSettings writes what is no machine.
func (s *Server) writeSettings(ctx context.Context, w *manifest.Writer, only []string) error {
	if slices.Contains(only, DefaultsSet) {
		d, err := s.registry.Defaults(ctx)
		if err == nil && !d.Seed.Empty() {
			err = w.Defaults(d.Seed)
		}
		if err != nil {
			return err
		}
	}
	if slices.Contains(only, RulesSet) {
		set, err := s.registry.Rules(ctx)
		if err == nil && len(set.Rules) > 0 {
			err = w.Rules(set.Rules)
		}
		if err != nil {
			return err
		}
	}
	if slices.Contains(only, Catalogue) {
		return s.writeCatalogue(ctx, w)
	}
	return nil
}

func (s *Server) writeCatalogue(ctx context.Context, w *manifest.Writer) error {
	all, err := s.registry.OSes(ctx)
	if err != nil {
		return err
	}
	for _, o := range registry.Kept(all) {
		if err := w.OS(o); err != nil {
			return err
		}
	}
	return nil
}

// exportWriter begins an answer with the first byte of it, so that what goes wrong
// before is answered with a problem.
type exportWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	asOf  time.Time // zero while the database answers
	begun bool
}

// machines writes some machines. They are all as of one time: where the database went
// away meanwhile they are not.
func (e *exportWriter) machines(w *manifest.Writer, some []registry.Machine) error {
	for _, m := range some {
		if m.AsOf.IsZero() != e.asOf.IsZero() {
			return fmt.Errorf("export %s: %w", m.Name, registry.ErrUnavailable)
		}
		if err := w.Machine(m); err != nil {
			return err
		}
	}
	return nil
}

func (e *exportWriter) begin() {
	if e.begun {
		return
	}
	e.begun = true
	e.w.Header().Set("Content-Type", yamlType)
	e.w.Header().Set("Cache-Control", "no-store")
	if !e.asOf.IsZero() {
		e.w.Header().Set(asOfHeader, e.asOf.UTC().Format(time.RFC3339))
	}
	e.w.WriteHeader(http.StatusOK)
}

func (e *exportWriter) Write(p []byte) (int, error) {
	e.begin()
	_ = e.rc.SetWriteDeadline(time.Now().Add(exportWrite)) // without it the export works as well
	return e.w.Write(p)
}

// end is after the last byte: the connection may be used again.
func (e *exportWriter) end() error {
	e.begin()
	_ = e.rc.SetWriteDeadline(time.Time{})
	return nil
}

// Export is what [Client.Export] asks for; the zero value is everything.
type Export struct {
	Filter string   // which machines; see [registry.ParseFilter]
	Only   []string // of [Parts]
}

// Export writes a manifest to w, as the server sends it. asOf is zero unless the
// database is away: then it is when what was written was known. What was written
// before an error is not whole.
func (c *Client) Export(ctx context.Context, e Export, w io.Writer) (asOf time.Time, err error) {
	query := url.Values{}
	if e.Filter != "" {
		query.Set("filter", e.Filter)
	}
	if len(e.Only) > 0 {
		query.Set("only", strings.Join(e.Only, ","))
	}
	resp, err := c.send(ctx, http.MethodGet, exportPath+"?"+query.Encode(), nil, nil)
	if err != nil {
		return asOf, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return asOf, decode(resp, nil)
	}
	if text := resp.Header.Get(asOfHeader); text != "" {
		if asOf, err = time.Parse(time.RFC3339, text); err != nil {
			return asOf, fmt.Errorf("answer of %s: %w", exportPath, err)
		}
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return asOf, fmt.Errorf("the export broke off: %w", err)
	}
	return asOf, nil
}
