package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// BulkRequest is the body of POST /api/v1/machines/bulk: one action for the
// machines that are named, or those that a filter selects. Each action takes its
// own parameters and no others.
type BulkRequest struct {
	Machines []string `json:"machines,omitempty" maxItems:"10000" doc:"IDs or names; or filter" example:"[\"brave-otter\"]"`
	Filter   string   `json:"filter,omitempty" maxLength:"1000" doc:"as in the list of machines, and not empty; it may select 10,000" example:"state:ready tag:gpu"`
	Action   string   `json:"action" enum:"edit,tag,untag,lock,unlock,retire,restore,delete,instruct"`
	DryRun   bool     `json:"dry_run,omitempty" doc:"tell what would be done to which machine, and why not; change nothing"`

	Edit        *PatchRequest        `json:"edit,omitempty" doc:"for edit: what to change; a name only for one machine"`
	Tags        []string             `json:"tags,omitempty" doc:"for tag and untag: those to add, or to take away"`
	Note        string               `json:"note,omitempty" maxLength:"256" doc:"for lock: why, for whoever comes upon it"`
	Force       bool                 `json:"force,omitempty" doc:"for unlock: also a lock of somebody else"`
	Instruction registry.Instruction `json:"instruction,omitempty" enum:"wait,reboot,local_boot" doc:"for instruct"`
}

// BulkReply says what became of each machine, in the order they were named, or by
// name.
type BulkReply struct {
	DryRun  bool         `json:"dry_run,omitempty" doc:"nothing was changed"`
	Done    int          `json:"done" doc:"how many were changed, or would be"`
	Refused int          `json:"refused" doc:"how many were not"`
	Results []BulkResult `json:"results"`
}

// BulkResult is what became of one machine. A problem is what the same action on
// this machine alone is answered with.
type BulkResult struct {
	ID      string `json:"id,omitempty" doc:"empty for one that is not there"`
	Name    string `json:"name" doc:"what it is called; as it was asked for when it is not there"`
	Status  int    `json:"status" example:"200"`
	Problem *Error `json:"problem,omitempty"`
}

const (
	maxBulk    = 10_000 // machines that one request changes
	bulkAtOnce = 64     // as many writes share a transaction of the store
)

func (s *Server) mountBulk(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "bulk-machines", Method: http.MethodPost, Path: "/api/v1/machines/bulk",
		Summary: "One action for many machines, answered one by one", Tags: []string{"machines"}, MaxBodyBytes: maxBody,
		Description: "Each machine is changed, or refused, on its own: the answer is 200 also where all were refused. " +
			"While the database is away the whole is refused. When the client goes away, what was not begun is not done.",
		Errors: []int{400, 413, 422, 503}}, s.bulk)
	api.OpenAPI().Paths["/api/v1/machines/bulk"].Post.RequestBody.Content["application/json"].Example =
		BulkRequest{Action: "retire", Filter: "label.rack:a1 -tag:gpu", DryRun: true}
}

type bulkOutput struct{ Body BulkReply }

func (s *Server) bulk(ctx context.Context, in *struct{ Body BulkRequest }) (*bulkOutput, error) {
	req := in.Body
	if err := req.check(); err != nil {
		return nil, err
	}
	if !s.registry.Outage().Since.IsZero() {
		return nil, s.problem(registry.ErrUnavailable)
	}
	if req.DryRun {
		ctx = registry.WithDryRun(ctx)
	}
	results, err := s.targets(ctx, req)
	if err != nil {
		return nil, err
	}
	s.each(ctx, results, s.action(req))
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, s.problem(err)
	}
	out := &bulkOutput{Body: BulkReply{DryRun: req.DryRun, Results: results}}
	for _, r := range results {
		if r.Problem == nil {
			out.Body.Done++
		}
	}
	out.Body.Refused = len(results) - out.Body.Done
	if !req.DryRun {
		s.log.Info("machines changed", "action", req.Action, "done", out.Body.Done, "refused", out.Body.Refused, "by", registry.ActorOf(ctx).Name)
	}
	return out, nil
}

// check reports what is wrong with the request as a whole. What one machine would
// be refused for alone is wrong with all of them too.
func (req BulkRequest) check() error {
	invalid := &registry.InvalidError{}
	wrong := func(pointer, message string) {
		invalid.Fields = append(invalid.Fields, registry.FieldError{Pointer: pointer, Message: message})
	}
	switch {
	case (len(req.Machines) == 0) == (strings.TrimSpace(req.Filter) == ""):
		wrong("/machines", "say which machines: either machines or a filter")
	case req.Edit != nil && req.Edit.Name != nil && len(req.Machines) != 1:
		wrong("/edit/name", "a name is for one machine")
	}
	for _, p := range []struct {
		name    string
		given   bool
		needed  bool
		actions []string
	}{
		{"edit", req.Edit != nil, true, []string{"edit"}},
		{"tags", len(req.Tags) > 0, true, []string{"tag", "untag"}},
		{"instruction", req.Instruction != "", true, []string{"instruct"}},
		{"note", req.Note != "", false, []string{"lock"}},
		{"force", req.Force, false, []string{"unlock"}},
	} {
		if takes := slices.Contains(p.actions, req.Action); p.given && !takes {
			wrong("/"+p.name, "this is for "+strings.Join(p.actions, " and ")+", and not for "+req.Action)
		} else if takes && p.needed && !p.given {
			wrong("/"+p.name, req.Action+" needs it")
		}
	}
	if err := req.patch().Validate(); err != nil {
		patch, _ := errors.AsType[*registry.InvalidError](err)
		for _, f := range patch.Fields {
			if req.Action == "edit" {
				f.Pointer = "/edit" + f.Pointer
			}
			wrong(strings.NewReplacer("/add_tags/", "/tags/", "/remove_tags/", "/tags/").Replace(f.Pointer), f.Message)
		}
	}
	if len(invalid.Fields) > 0 {
		return refused(invalid)
	}
	return nil
}

// patch is what edit, tag and untag change.
func (req BulkRequest) patch() registry.Patch {
	switch req.Action {
	case "edit":
		if req.Edit != nil {
			return req.Edit.patch()
		}
	case "tag":
		return registry.Patch{AddTags: req.Tags}
	case "untag":
		return registry.Patch{RemoveTags: req.Tags}
	}
	return registry.Patch{}
}

// action is what is done to each machine.
func (s *Server) action(req BulkRequest) func(ctx context.Context, id string) error {
	return func(ctx context.Context, id string) (err error) {
		switch req.Action {
		case "edit", "tag", "untag":
			_, err = s.registry.Edit(ctx, id, registry.AnyVersion, req.patch())
		case "lock":
			_, err = s.registry.Lock(ctx, id, req.Note)
		case "unlock":
			_, err = s.registry.Unlock(ctx, id, req.Force)
		case "retire":
			_, err = s.registry.Retire(ctx, id, registry.AnyVersion)
		case "restore":
			_, err = s.registry.Restore(ctx, id, registry.AnyVersion)
		case "delete":
			err = s.registry.Delete(ctx, id, registry.AnyVersion)
		case "instruct":
			_, err = s.registry.Instruct(ctx, id, req.Instruction)
		default:
			err = fmt.Errorf("bulk action %q: there is none", req.Action) // the schema lists them
		}
		return err
	}
}

// targets are the machines that the request is about, each as the start of its
// result.
func (s *Server) targets(ctx context.Context, req BulkRequest) ([]BulkResult, error) {
	if req.Filter != "" {
		return s.selected(ctx, req.Filter)
	}
	found, err := s.find(ctx, req.Machines)
	if err != nil {
		return nil, s.problem(err)
	}
	first := map[string]int{} // by ID, or what was asked for
	results := make([]BulkResult, 0, len(req.Machines))
	for i, named := range req.Machines {
		r := BulkResult{Name: named}
		if m, ok := found[named]; ok {
			r = BulkResult{ID: m.ID, Name: m.Name}
		} else if registry.AppliedBefore(registry.OncePart(ctx, named)) { // deleted, and the answer got lost
			r.ID = named
		} else {
			r.fail(errorOf(s.problem(fmt.Errorf("machine %.80q: %w", named, registry.ErrNotFound))))
		}
		key := r.ID + " " + r.Name
		if at, again := first[key]; again {
			return nil, refused(&registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/machines/" + strconv.Itoa(i),
				Message: "the same machine as number " + strconv.Itoa(at)}}})
		}
		first[key] = i
		results = append(results, r)
	}
	return results, nil
}

// selected are the machines that a filter selects.
func (s *Server) selected(ctx context.Context, filter string) ([]BulkResult, error) {
	q := registry.Query{Limit: maxBulk + 1, Now: s.now(), Brief: true}
	var err error
	if q.Filter, err = registry.ParseFilter(filter); err != nil {
		return nil, refused(&registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/filter", Message: err.Error()}}})
	}
	machines, err := s.registry.Machines(ctx, q)
	if err != nil {
		return nil, s.problem(err)
	}
	if len(machines) > maxBulk {
		return nil, refused(&registry.InvalidError{Fields: []registry.FieldError{{Pointer: "/filter",
			Message: fmt.Sprintf("it selects more than %d machines; narrow it down", maxBulk)}}})
	}
	results := make([]BulkResult, 0, len(machines))
	for _, m := range machines {
		results = append(results, BulkResult{ID: m.ID, Name: m.Name})
	}
	return results, nil
}

// find looks machines up by ID or name, a few hundred at a time.
func (s *Server) find(ctx context.Context, named []string) (map[string]registry.Machine, error) {
	found := make(map[string]registry.Machine, len(named))
	for some := range slices.Chunk(named, 500) {
		q := registry.Query{Brief: true}
		for _, name := range some {
			if strings.HasPrefix(name, "m-") {
				q.IDs = append(q.IDs, name)
			} else {
				q.Names = append(q.Names, name)
			}
		}
		machines, err := s.registry.Machines(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, m := range machines {
			found[m.ID], found[m.Name] = m, m
		}
	}
	return found, nil
}

// each does something to every machine that has no problem yet, some at once, and
// writes down what became of it. It begins nothing after ctx ended.
func (s *Server) each(ctx context.Context, results []BulkResult, do func(ctx context.Context, id string) error) {
	var group sync.WaitGroup
	places := make(chan struct{}, bulkAtOnce)
	for i := range results {
		r := &results[i]
		if r.Problem != nil {
			continue
		}
		places <- struct{}{}
		if ctx.Err() != nil {
			r.fail(errorOf(s.problem(fmt.Errorf("%w: it was not begun", ctx.Err()))))
			<-places
			continue
		}
		group.Go(func() {
			defer func() { <-places }()
			if err := do(registry.OncePart(ctx, r.ID), r.ID); err != nil {
				r.fail(errorOf(s.problem(err)))
				return
			}
			r.Status = http.StatusOK
		})
	}
	group.Wait()
}

func (r *BulkResult) fail(problem *Error) { r.Status, r.Problem = problem.Status, problem }

// Bulk carries out one action for many machines. What became of each is in the
// reply, also where all were refused.
func (c *Client) Bulk(ctx context.Context, req BulkRequest) (BulkReply, error) {
	var reply BulkReply
	err := c.do(ctx, http.MethodPost, "/api/v1/machines/bulk", req, &reply)
	return reply, err
}
