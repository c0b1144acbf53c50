package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/registrytest"
)

// machines registers n machines and returns them by name.
func (s *server) machines(t *testing.T, n int) []registry.Machine {
	t.Helper()
	for i := range n {
		_, _, err := s.registry.Register(t.Context(), registry.Registration{MAC: registry.MAC{2, 0, 0, 1, byte(i >> 8), byte(i)},
			Hardware: registry.Hardware{System: registry.System{Product: fmt.Sprintf("R%d", i%2)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.registry.Machines(t.Context(), registry.Query{})
	if err != nil || len(all) != n {
		t.Fatalf("%d machines, %v", len(all), err)
	}
	return all
}

// Every action, first as a dry run, which changes nothing, and then for three
// machines of which one is locked and one is not there.
func TestBulkActions(t *testing.T) {
	for _, tt := range []struct {
		req    api.BulkRequest
		locked int // status for the locked machine
		check  func(registry.Machine) bool
	}{
		{api.BulkRequest{Action: "edit", Edit: &api.PatchRequest{Owner: ptr("ana")}}, 200, func(m registry.Machine) bool { return m.Owner == "ana" }},
		{api.BulkRequest{Action: "tag", Tags: []string{"gpu"}}, 200, func(m registry.Machine) bool { return strings.Join(m.Tags, " ") == "gpu old" }},
		{api.BulkRequest{Action: "untag", Tags: []string{"old", "gpu"}}, 200, func(m registry.Machine) bool { return len(m.Tags) == 0 }},
		{api.BulkRequest{Action: "lock", Note: "copying"}, 423, func(m registry.Machine) bool { return m.Lock != nil && m.Lock.Note == "copying" }},
		{api.BulkRequest{Action: "unlock"}, 423, func(m registry.Machine) bool { return m.Lock == nil }},
		{api.BulkRequest{Action: "retire"}, 423, func(m registry.Machine) bool { return m.State == registry.Retired }},
		{api.BulkRequest{Action: "instruct", Instruction: registry.Reboot}, 200, func(m registry.Machine) bool { return m.Pending == registry.Reboot }},
		{api.BulkRequest{Action: "delete"}, 423, func(m registry.Machine) bool { return m.ID == "" }},
	} {
		t.Run(tt.req.Action, func(t *testing.T) {
			s := serve(t)
			all := s.machines(t, 2)
			client := &api.Client{Base: s.URL}
			for _, m := range all {
				if _, err := client.Edit(t.Context(), m.ID, api.PatchRequest{AddTags: []string{"old"}}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.registry.Lock(registry.WithActor(t.Context(), registry.Actor{Name: "bob"}), all[1].ID, "mine"); err != nil {
				t.Fatal(err)
			}
			before := s.events(t)
			req := tt.req
			req.Machines = []string{all[0].ID, all[1].Name, "nobody"}
			for _, dry := range []bool{true, false} {
				req.DryRun = dry
				reply, err := client.Bulk(t.Context(), req)
				if err != nil || len(reply.Results) != 3 || reply.Done+reply.Refused != 3 || reply.DryRun != dry {
					t.Fatalf("dry run %v: %+v, %v", dry, reply, err)
				}
				for i, want := range []int{200, tt.locked, 404} {
					r := reply.Results[i]
					if r.Status != want || (r.Problem == nil) != (want == 200) || r.Problem != nil && (r.Problem.Status != want || r.Problem.Detail == "") {
						t.Errorf("dry run %v: result %d is %+v %+v, want %d", dry, i, r, r.Problem, want)
					}
				}
				if r := reply.Results[1]; r.ID != all[1].ID || r.Name != all[1].Name {
					t.Errorf("result of %s: %+v", all[1].Name, r)
				}
				if dry && s.events(t) != before {
					t.Error("a dry run changed something")
				}
			}
			m, _ := s.registry.Machine(t.Context(), all[0].ID)
			if !tt.check(m) {
				t.Errorf("afterwards %+v", m)
			}
		})
	}
}

// events is how many events there are, by which every change shows.
func (s *server) events(t *testing.T) int64 {
	t.Helper()
	last, err := s.store.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func TestBulkRestore(t *testing.T) {
	s := serve(t)
	all := s.machines(t, 2)
	if _, err := s.registry.Retire(t.Context(), all[0].ID, registry.AnyVersion); err != nil {
		t.Fatal(err)
	}
	reply, err := (&api.Client{Base: s.URL}).Bulk(t.Context(), api.BulkRequest{Action: "restore", Filter: "-id:none"})
	if err != nil || reply.Done != 1 || reply.Results[1].Status != http.StatusConflict {
		t.Errorf("%+v, %v", reply, err)
	}
}

// What is wrong with the request is told at once, and nothing is changed.
func TestBulkRefuses(t *testing.T) {
	s := serve(t)
	one := s.machines(t, 2)[0]
	before := s.events(t)
	for body, want := range map[string]string{
		`{"action":"retire"}`:                                                  `"pointer":"/machines"`,
		`{"action":"retire","filter":"  "}`:                                    `"pointer":"/machines"`,
		`{"action":"retire","machines":["a"],"filter":"b"}`:                    `"pointer":"/machines"`,
		`{"action":"retire","machines":["a","a"]}`:                             `"pointer":"/machines/1","message":"the same machine as number 0"`,
		`{"action":"retire","machines":["` + one.ID + `","` + one.Name + `"]}`: `"pointer":"/machines/1"`,
		`{"action":"retire","machines":[7]}`:                                   `"pointer":"/machines/0","message":"expected string"`,
		`{"action":"retire","machines":{"a":"b"}}`:                             `"pointer":"/machines","message":"expected array"`,
		`{"action":"explode","machines":["a"]}`:                                `"pointer":"/action"`,
		`{"machines":["a"]}`:                                                   `"pointer":"/action","message":"it is missing"`,
		`{"action":"retire","filter":"stat:ready"}`:                            `did you mean state?`,
		`{"action":"retire","filter":"state:ready","dryrun":true}`:             `did you mean dry_run?`,
		`{"action":"edit","machines":["a"]}`:                                   `"pointer":"/edit","message":"edit needs it"`,
		`{"action":"edit","machines":["a"],"edit":{"ownr":"x"}}`:               `"pointer":"/edit/ownr","message":"there is no member \"ownr\"; did you mean owner?"`,
		`{"action":"edit","machines":["a","b"],"edit":{"name":"x"}}`:           `"pointer":"/edit/name"`,
		`{"action":"edit","machines":["a"],"edit":{"tags":["<b>"]}}`:           `"pointer":"/edit/tags/0"`,
		`{"action":"edit","machines":["a"],"edit":{"labels":{"a/b~":"<"}}}`:    `"pointer":"/edit/labels/a~1b~0"`,
		`{"action":"tag","machines":["a"]}`:                                    `"pointer":"/tags","message":"tag needs it"`,
		`{"action":"tag","machines":["a"],"tags":["ok","no way"]}`:             `"pointer":"/tags/1"`,
		`{"action":"untag","machines":["a"],"tags":["no way"]}`:                `"pointer":"/tags/0"`,
		`{"action":"retire","machines":["a"],"note":"x"}`:                      `"pointer":"/note","message":"this is for lock, and not for retire"`,
		`{"action":"lock","machines":["a"],"force":true}`:                      `"pointer":"/force"`,
		`{"action":"instruct","machines":["a"]}`:                               `"pointer":"/instruction"`,
		`{"action":"instruct","machines":["a"],"instruction":"explode"}`:       `"pointer":"/instruction"`,
		`[]`: `expected object`,
	} {
		if status, _, text := s.call(t, "POST", "/api/v1/machines/bulk", body); status != http.StatusUnprocessableEntity || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s; want %s", body, status, text, want)
		}
	}
	if s.events(t) != before {
		t.Error("something was changed")
	}
}

// A machine may be called bulk.
func TestMachineCalledBulk(t *testing.T) {
	s := serve(t)
	one := s.machines(t, 1)[0]
	client := &api.Client{Base: s.URL}
	if _, err := client.Edit(t.Context(), one.ID, api.PatchRequest{Name: ptr("bulk")}); err != nil {
		t.Fatal(err)
	}
	if m, err := client.Machine(t.Context(), "bulk"); err != nil || m.ID != one.ID {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := client.Retire(t.Context(), "bulk"); err != nil || m.State != registry.Retired {
		t.Errorf("%+v, %v", m, err)
	}
}

// slow is a store whose writes may have to wait, and stop working after some.
type slow struct {
	*registrytest.MemoryStore
	wait func(context.Context) // before each write; nil: none waits
	left atomic.Int64          // writes until it is away
	done atomic.Int64
}

func (s *slow) Commit(ctx context.Context, c registry.Change) error {
	if s.left.Add(-1) < 0 {
		return fmt.Errorf("dial: %w", registry.ErrUnavailable)
	}
	if s.wait != nil {
		s.wait(ctx)
	}
	s.done.Add(1)
	return s.MemoryStore.Commit(ctx, c)
}

// When the database goes away in between, what was done is told from what was not.
func TestBulkWhileTheDatabaseGoesAway(t *testing.T) {
	store := &slow{MemoryStore: registrytest.Memory()}
	store.left.Store(200 + 120)
	s := serveOver(t, store)
	s.machines(t, 200)
	reply, err := (&api.Client{Base: s.URL}).Bulk(t.Context(), api.BulkRequest{Action: "retire", Filter: "state:ready"})
	if err != nil || reply.Done != 120 || reply.Refused != 80 {
		t.Fatalf("%d done, %d refused, %v", reply.Done, reply.Refused, err)
	}
	for _, r := range reply.Results {
		m, err := s.registry.Machine(t.Context(), r.ID)
		if err != nil || (m.State == registry.Retired) != (r.Status == 200) || r.Status != 200 && r.Status != 503 {
			t.Errorf("%+v is %s, %v", r, m.State, err)
		}
	}
}

// When the client goes away, no more machines are begun.
func TestBulkStopsWithItsClient(t *testing.T) {
	store := &slow{MemoryStore: registrytest.Memory()}
	store.left.Store(1 << 30)
	s := serveOver(t, store)
	s.machines(t, 400)
	before := store.done.Load()
	body, _ := json.Marshal(api.BulkRequest{Action: "retire", Filter: "state:ready"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	store.wait = func(asked context.Context) {
		if store.done.Load() == before {
			return
		}
		cancel() // the first ones are done, and others under way
		select {
		case <-asked.Done():
		case <-time.After(30 * time.Second): // the server goes on without its client
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/api/v1/machines/bulk", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if _, err := http.DefaultClient.Do(r); err == nil {
		t.Fatal("it was faster than its client")
	}
	s.Close() // waits for what is under way
	if n := store.done.Load() - before; n == 0 || n >= 400 {
		t.Errorf("%d machines of 400 were changed", n)
	}
}

// A thousand machines by a filter, many at a time.
func TestBulkOfMany(t *testing.T) {
	s := serve(t)
	s.machines(t, 1000)
	reply, err := (&api.Client{Base: s.URL}).Bulk(t.Context(), api.BulkRequest{Action: "tag", Tags: []string{"new"}, Filter: "model:R1"})
	if err != nil || reply.Done != 500 {
		t.Fatalf("%d done, %v", reply.Done, err)
	}
	tagged, err := s.registry.Machines(t.Context(), registry.Query{Filter: registry.Filter{{Field: registry.FieldTag, Values: []string{"new"}}}})
	if err != nil || len(tagged) != 500 {
		t.Errorf("%d machines are tagged, %v", len(tagged), err)
	}
}
