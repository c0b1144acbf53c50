package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// ImportRequest is the body of POST /api/v1/machines/import.
type ImportRequest struct {
	Items []registry.ImportItem `json:"items" nullable:"false" maxItems:"10000"`
}

// ImportReply says what became of each entry of a list, in their order.
type ImportReply struct {
	DryRun    bool           `json:"dry_run,omitempty" doc:"nothing was changed"`
	Created   int            `json:"created" doc:"machines that are expected from now on"`
	Edited    int            `json:"edited"`
	Unchanged int            `json:"unchanged" doc:"all that the list says of them is known"`
	Refused   int            `json:"refused"`
	Results   []ImportResult `json:"results"`
}

// ImportResult is what became of one entry.
type ImportResult struct {
	Kind    string                 `json:"kind,omitempty" enum:"Machine,OperatingSystem,Rules,Defaults" doc:"of the document, in a manifest"`
	Line    int                    `json:"line,omitempty" doc:"where the document begins, in a manifest"`
	Action  registry.ImportAction  `json:"action" enum:"create,edit,unchanged,delete,refuse"`
	ID      string                 `json:"id,omitempty" doc:"of the machine; empty where there is none yet, or it is not known which is meant"`
	Name    string                 `json:"name,omitempty"`
	Changes []registry.FieldChange `json:"changes,omitempty"`
	Plan    string                 `json:"plan,omitempty" doc:"send it with the item, so that this is done and nothing else"`
	Problem *Error                 `json:"problem,omitempty" doc:"why it is refused"`
}

// maxImportBody bounds a list.
const maxImportBody = 10 << 20

const importPath = "/api/v1/machines/import"

func (s *Server) mountImport(api huma.API) {
	huma.Register(api, huma.Operation{OperationID: "import-machines", Method: http.MethodPost, Path: importPath,
		Summary: "Bring a list of machines: those that are known are edited, others are expected", Tags: []string{"machines"}, MaxBodyBytes: maxImportBody,
		Description: "A machine is recognised by its UUID, serial number or a hardware address, and else by its name. What an item does not say stays as it is; " +
			"what it says is empty is taken away. A machine that nobody has seen yet is `discovered`; when it registers, it keeps what the list says. " +
			"Each item is written, or refused, on its own: the answer is 200 also where all were refused. While the database is away the whole is refused.",
		Errors: []int{400, 413, 422, 503}}, s.importMachines)
}

type importInput struct {
	DryRun bool `query:"dry_run" doc:"tell what would be done; change nothing"`
	Body   ImportRequest
}

type importOutput struct{ Body ImportReply }

func (s *Server) importMachines(ctx context.Context, in *importInput) (*importOutput, error) {
	if in.DryRun {
		ctx = registry.WithDryRun(ctx)
	}
	steps, err := s.registry.Import(ctx, in.Body.Items)
	if err != nil {
		return nil, s.problem(err)
	}
	reply := ImportReply{DryRun: in.DryRun, Results: make([]ImportResult, 0, len(steps))}
	for _, step := range steps {
		reply.add(s.importResult(step))
	}
	if !in.DryRun {
		s.log.Info("machines imported", "created", reply.Created, "edited", reply.Edited, "unchanged", reply.Unchanged,
			"refused", reply.Refused, "by", registry.ActorOf(ctx).Name)
	}
	return &importOutput{reply}, nil
}

func (r *ImportReply) add(result ImportResult) {
	count, ok := map[registry.ImportAction]*int{registry.ImportCreate: &r.Created, registry.ImportEdit: &r.Edited,
		registry.ImportSame: &r.Unchanged, registry.ImportRefuse: &r.Refused}[result.Action]
	if ok {
		*count++
	}
	r.Results = append(r.Results, result)
}

func (s *Server) importResult(step registry.ImportStep) ImportResult {
	r := ImportResult{Action: step.Action, ID: step.Machine.ID, Name: step.Machine.Name, Changes: step.Changes}
	if step.Err != nil {
		r.Problem = errorOf(s.importProblem(step.Err))
		return r
	}
	r.Plan = step.Fingerprint()
	if step.Machine.Version == 0 { // nobody will see it
		r.ID = ""
	}
	return r
}

// importProblem is what is wrong with one entry of a list.
func (s *Server) importProblem(err error) error {
	if wrong, ok := errors.AsType[*registry.ListError](err); ok {
		return huma.Error409Conflict(wrong.Reason)
	}
	return s.problem(err)
}

// Import brings a list of machines, or tells what that would do. What became of
// each is in the reply, also where all were refused.
func (c *Client) Import(ctx context.Context, items []registry.ImportItem, dryRun bool) (ImportReply, error) {
	path := importPath
	if dryRun {
		path += "?dry_run=true"
	}
	var reply ImportReply
	err := c.do(ctx, http.MethodPost, path, ImportRequest{items}, &reply)
	return reply, err
}
