package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

type listInput struct {
	Filter    string   `query:"filter" maxLength:"1000" doc:"such as state:ready tag:gpu model:~poweredge -tag:old" example:"state:ready tag:gpu"`
	Sort      string   `query:"sort" maxLength:"40" doc:"name, state, vendor, model, created or registered; among equals by age; with - before it, the other way round" example:"-registered"`
	PageSize  int      `query:"page_size" minimum:"1" maximum:"1000" default:"100" doc:"at most this many; a page with hardware has at most 200"`
	PageToken string   `query:"page_token" maxLength:"2000" doc:"next_page_token of the page before, with the same filter and sort"`
	Fields    []string `query:"fields" maxItems:"64" doc:"answer only these members, dotted where they are further down; when left out, all but hardware" example:"id,name,hardware.disks.serial"`
}

// maxWithHardware bounds a page of machines with their hardware, which is up to a
// quarter of a megabyte each.
const maxWithHardware = 200

type listOutput struct {
	Body struct {
		Machines maskedList `json:"machines"`
		Next     string     `json:"next_page_token,omitempty" doc:"empty on the last page"`
		Staleness
	}
}

func (s *Server) listMachines(ctx context.Context, in *listInput) (*listOutput, error) {
	only, err := machineMask(in.Fields)
	if err != nil {
		return nil, err
	}
	q, err := s.query(in)
	if err != nil {
		return nil, err
	}
	if only.has("hardware") {
		q.Brief, q.Limit = false, min(q.Limit, maxWithHardware)
	}
	machines, err := s.registry.Machines(ctx, q)
	if err != nil {
		return nil, s.problem(err)
	}
	out := &listOutput{}
	out.Body.Staleness = s.staleness()
	out.Body.Machines = make(maskedList, 0, len(machines))
	for _, m := range machines {
		if !m.AsOf.IsZero() { // also where the database came back meanwhile
			out.Body.Stale, out.Body.AsOf = true, m.AsOf
		}
		shown, err := only.of(machineOf(m, s.now(), !q.Brief))
		if err != nil {
			return nil, err
		}
		out.Body.Machines = append(out.Body.Machines, shown)
	}
	if len(machines) == q.Limit {
		out.Body.Next = pageToken{List: in.list(), Position: q.Sort.Position(machines[len(machines)-1])}.encode()
	}
	return out, nil
}

// query reads what is listed. Its errors say which parameter is wrong.
func (s *Server) query(in *listInput) (q registry.Query, err error) {
	wrong := func(name string, err error) error {
		return huma.Error422UnprocessableEntity("the "+name+" cannot be read", &huma.ErrorDetail{Location: "query." + name, Message: err.Error()})
	}
	q = registry.Query{Limit: in.PageSize, Now: s.now(), Brief: true}
	if q.Filter, err = registry.ParseFilter(in.Filter); err != nil {
		return q, wrong("filter", err)
	}
	if q.Sort, err = registry.ParseSort(in.Sort); err != nil {
		return q, wrong("sort", err)
	}
	if in.PageToken == "" {
		return q, nil
	}
	token, err := parsePageToken(in.PageToken)
	if err != nil || token.List != in.list() || token.Position == (registry.Position{}) {
		return q, huma.Error422UnprocessableEntity("page_token is not one of this list: start again without it",
			&huma.ErrorDetail{Location: "query.page_token", Message: "want next_page_token of the page before, with the same filter and sort"})
	}
	q.After = token.Position
	return q, nil
}

// pageToken is where a page ended. It is opaque to clients, and says nothing that
// the page did not.
type pageToken struct {
	List     uint32            `json:"l"`  // which list it is a page of
	Position registry.Position `json:"at"` // never zero: one of an earlier version has it elsewhere
}

// list tells lists apart: a page of one does not continue another.
func (in *listInput) list() uint32 { return crc32.ChecksumIEEE([]byte(in.Filter + "\x00" + in.Sort)) }

func (t pageToken) encode() string {
	text, _ := json.Marshal(t) // strings only: cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

func parsePageToken(text string) (t pageToken, err error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(data, &t)
}
