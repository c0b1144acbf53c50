package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

const machinePath = "/api/v1/machines/{id}"

func (s *Server) mountMachines(api huma.API) {
	tags := []string{"machines"}
	huma.Register(api, huma.Operation{OperationID: "list-machines", Method: http.MethodGet, Path: "/api/v1/machines",
		Summary: "List machines", Tags: tags, Description: "The filter is that of the UI's search box: " +
			"`state:ready,failed tag:gpu model:~poweredge -tag:old label.rack:a1 otter`: fields that have a value or one of several, " +
			"that have it as a part (~), that do not (-), and bare words, which are part of a name, address, serial number, model or tag. All have to match. " +
			"Go on with next_page_token until there is none."}, s.listMachines)
	huma.Register(api, huma.Operation{OperationID: "get-machine", Method: http.MethodGet, Path: machinePath,
		Summary: "One machine with its hardware, by ID or name", Tags: tags, Errors: []int{404, 422, 503}}, s.getMachine)
	huma.Register(api, huma.Operation{OperationID: "edit-machine", Method: http.MethodPatch, Path: machinePath,
		Summary: "Change the name, owner, note, tags, labels or assigned operating system", Tags: tags, MaxBodyBytes: maxBody,
		Errors: []int{404, 409, 412, 422, 503}}, s.editMachine)
	huma.Register(api, huma.Operation{OperationID: "delete-machine", Method: http.MethodDelete, Path: machinePath,
		Summary: "Forget a machine; it is discovered anew when it boots from the network", Tags: tags,
		DefaultStatus: http.StatusNoContent, Errors: []int{404, 409, 412, 423, 503}}, s.deleteMachine)
	huma.Register(api, huma.Operation{OperationID: "retire-machine", Method: http.MethodPost, Path: machinePath + "/retire",
		Summary: "Take a machine out of use", Tags: tags, Errors: []int{404, 409, 412, 423, 503}}, s.retireMachine)
	huma.Register(api, huma.Operation{OperationID: "restore-machine", Method: http.MethodPost, Path: machinePath + "/restore",
		Summary: "Bring a machine back that is retired or failed, as ready", Tags: tags, Errors: []int{404, 409, 412, 423, 503}}, s.restoreMachine)
	huma.Register(api, huma.Operation{OperationID: "merge-machine", Method: http.MethodPost, Path: machinePath + "/merge",
		Summary: "Fold another record of the same machine into this one", Tags: tags, MaxBodyBytes: maxBody,
		Description: "For one machine that has two records, after its board was swapped, say. This record gets the addresses, tags, timeline and " +
			"hardware history of the other one, and of labels, note, owner and operating system what it has not; the other one is deleted. " +
			"An agent that runs under it restarts the machine and comes back under this one.",
		Errors: []int{404, 409, 412, 422, 423, 503}}, s.mergeMachine)
	huma.Register(api, huma.Operation{OperationID: "lock-machine", Method: http.MethodPut, Path: machinePath + "/lock",
		Summary: "Keep a machine from whatever destroys", Tags: tags, Description: "A locked machine is not deployed, retired or deleted. Only who locked it takes the lock away, or force.", MaxBodyBytes: maxBody, Errors: []int{404, 422, 423, 503}}, s.lockMachine)
	huma.Register(api, huma.Operation{OperationID: "unlock-machine", Method: http.MethodDelete, Path: machinePath + "/lock",
		Summary: "Take the lock away", Tags: tags, Errors: []int{404, 423, 503}}, s.unlockMachine)
	huma.Register(api, huma.Operation{OperationID: "instruct-machine", Method: http.MethodPost, Path: machinePath + "/instruction",
		Summary: "Queue an instruction for the agent's next poll", Tags: tags, MaxBodyBytes: maxBody, Errors: []int{404, 422, 503}}, s.instruct)
	huma.Register(api, huma.Operation{OperationID: "machine-timeline", Method: http.MethodGet, Path: machinePath + "/timeline",
		Summary: "What happened to a machine, newest first", Tags: tags, Errors: []int{404, 422, 503}}, s.timeline)
	huma.Register(api, huma.Operation{OperationID: "machine-history", Method: http.MethodGet, Path: machinePath + "/history",
		Summary: "How the hardware of a machine changed, newest first", Tags: tags, Errors: []int{404, 422, 503}}, s.history)
}

type machineInput struct {
	ID     string   `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	Fields []string `query:"fields" maxItems:"64" doc:"answer only these members, dotted where they are further down; all when left out" example:"id,name,hardware.disks.serial"`
}

// changeInput is a machine and the version that the client read of it.
type changeInput struct {
	ID      string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one any version is changed" example:"\"3\""`
}

// matched is the version that If-Match asks for.
func matched(etag string) (int64, error) {
	if etag == "" || etag == "*" {
		return registry.AnyVersion, nil
	}
	version, err := strconv.ParseInt(strings.Trim(etag, `"`), 10, 64)
	if version == 0 && err == nil { // of a machine that waits in the journal, or before any rules
		return registry.Unstored, nil
	}
	if err != nil || version < 1 {
		return 0, huma.Error422UnprocessableEntity("If-Match is not an ETag of ours",
			&huma.ErrorDetail{Location: "header.If-Match", Message: `want the ETag that was answered, such as "3"`, Value: etag})
	}
	return version, nil
}

type machineOutput struct {
	ETag string `header:"ETag"`
	Body Machine
}

func (s *Server) machine(m registry.Machine) *machineOutput {
	return &machineOutput{ETag: strconv.Quote(strconv.FormatInt(m.Version, 10)), Body: machineOf(m, s.now(), true)}
}

// answer is the machine after a change, or the problem. A version that If-Match
// named and that is not there is a failed precondition (RFC 9110 section 13.1.1).
func (s *Server) answer(m registry.Machine, err error, version int64) (*machineOutput, error) {
	if lost, ok := errors.AsType[*registry.ConflictError](err); ok && version != registry.AnyVersion && strings.HasPrefix(lost.Object, "machine ") {
		return nil, huma.Error412PreconditionFailed(err.Error())
	}
	if err != nil {
		return nil, s.problem(err)
	}
	return s.machine(m), nil
}

type maskedOutput struct {
	ETag string `header:"ETag"`
	Body masked
}

func (s *Server) getMachine(ctx context.Context, in *machineInput) (*maskedOutput, error) {
	only, err := machineMask(in.Fields)
	if err != nil {
		return nil, err
	}
	m, err := s.registry.Machine(ctx, in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	whole := s.machine(m)
	return &maskedOutput{ETag: whole.ETag, Body: masked{whole.Body, only}}, nil
}

type editInput struct {
	ID      string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read; without one any version is changed" example:"\"3\""`
	Body    PatchRequest
}

func (s *Server) editMachine(ctx context.Context, in *editInput) (*machineOutput, error) {
	version, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	m, err := s.registry.Edit(ctx, in.ID, version, in.Body.patch())
	return s.answer(m, err, version)
}

func (s *Server) deleteMachine(ctx context.Context, in *changeInput) (*struct{}, error) {
	version, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if err := s.registry.Delete(ctx, in.ID, version); err != nil {
		_, err = s.answer(registry.Machine{}, err, version)
		return nil, err
	}
	return nil, nil
}

func (s *Server) retireMachine(ctx context.Context, in *changeInput) (*machineOutput, error) {
	version, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	m, err := s.registry.Retire(ctx, in.ID, version)
	return s.answer(m, err, version)
}

func (s *Server) restoreMachine(ctx context.Context, in *changeInput) (*machineOutput, error) {
	version, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	m, err := s.registry.Restore(ctx, in.ID, version)
	return s.answer(m, err, version)
}

type mergeInput struct {
	ID      string `path:"id" maxLength:"128" doc:"ID or name of the record that stays"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that was read of the record that stays; without one any version is changed"`
	Body    struct {
		From string `json:"from" minLength:"1" maxLength:"128" doc:"ID or name of the record that goes into it and is deleted"`
	}
}

func (s *Server) mergeMachine(ctx context.Context, in *mergeInput) (*machineOutput, error) {
	version, err := matched(in.IfMatch)
	if err != nil {
		return nil, err
	}
	m, err := s.registry.Merge(ctx, in.ID, in.Body.From, version)
	return s.answer(m, err, version)
}

type lockInput struct {
	ID   string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	Body struct {
		Note string `json:"note,omitempty" maxLength:"256" doc:"why, for whoever comes upon it"`
	}
}

func (s *Server) lockMachine(ctx context.Context, in *lockInput) (*machineOutput, error) {
	m, err := s.registry.Lock(ctx, in.ID, in.Body.Note)
	return s.answer(m, err, registry.AnyVersion)
}

type unlockInput struct {
	ID    string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	Force bool   `query:"force" doc:"also a lock of somebody else"`
}

func (s *Server) unlockMachine(ctx context.Context, in *unlockInput) (*machineOutput, error) {
	m, err := s.registry.Unlock(ctx, in.ID, in.Force)
	return s.answer(m, err, registry.AnyVersion)
}

type instructInput struct {
	ID   string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	Body struct {
		Instruction registry.Instruction `json:"instruction" enum:"wait,reboot,local_boot" doc:"wait takes back what is queued"`
	}
}

func (s *Server) instruct(ctx context.Context, in *instructInput) (*machineOutput, error) {
	m, err := s.registry.Instruct(ctx, in.ID, in.Body.Instruction)
	return s.answer(m, err, registry.AnyVersion)
}

type historyInput struct {
	ID    string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	Limit int    `query:"limit" minimum:"1" maximum:"50" default:"50" doc:"at most this many"`
}

type historyOutput struct {
	Body struct {
		Records []HardwareRecord `json:"records"`
		Staleness
	}
}

func (s *Server) history(ctx context.Context, in *historyInput) (*historyOutput, error) {
	// One more than is shown tells what changed with the oldest of them.
	records, err := s.registry.History(ctx, in.ID, in.Limit+1)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &historyOutput{}
	out.Body.Staleness = s.staleness()
	out.Body.Records = make([]HardwareRecord, 0, len(records))
	for i, r := range records[:min(len(records), in.Limit)] {
		record := HardwareRecord{At: r.At, Hardware: r.Hardware, Changes: []string{}}
		if i+1 < len(records) {
			for _, d := range registry.Diff(records[i+1].Hardware, r.Hardware) {
				record.Changes = append(record.Changes, d.String())
			}
		}
		out.Body.Records = append(out.Body.Records, record)
	}
	return out, nil
}

type timelineInput struct {
	ID     string `path:"id" maxLength:"128" doc:"ID or name" example:"brave-otter"`
	Before int64  `query:"before" minimum:"0" doc:"only events with an id below it"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most this many"`
}

type timelineOutput struct {
	Body struct {
		Events []Event `json:"events"`
		Staleness
	}
}

func (s *Server) timeline(ctx context.Context, in *timelineInput) (*timelineOutput, error) {
	events, err := s.registry.Timeline(ctx, in.ID, in.Before, in.Limit)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &timelineOutput{}
	out.Body.Staleness = s.staleness()
	out.Body.Events = make([]Event, 0, len(events))
	for _, e := range events {
		out.Body.Events = append(out.Body.Events, eventOf(e))
	}
	return out, nil
}
