package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/registrytest"
)

const (
	yamlMachine = "apiVersion: dragonfly/v1\nkind: Machine\n"
	yamlRules   = "apiVersion: dragonfly/v1\nkind: Rules\nrules:\n- name: all\n  set: {owner: lab}\n"
)

// exported is what a viewer gets.
func (s *server) exported(t *testing.T, e api.Export) string {
	t.Helper()
	var text bytes.Buffer
	asOf, err := (&api.Client{Base: s.URL}).Export(t.Context(), e, &text)
	if err != nil || !asOf.IsZero() {
		t.Fatalf("export: as of %v, %v", asOf, err)
	}
	return text.String()
}

func TestExportAndApply(t *testing.T) {
	a, b := serve(t), serve(t)
	if text := a.exported(t, api.Export{}); text != "" {
		t.Errorf("nothing is exported as %q", text)
	}
	a.machines(t, 3)
	if _, err := a.agent().Register(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	admin := func(s *server) *api.Client {
		return &api.Client{Base: s.URL, HTTP: &http.Client{Transport: asActor("ana admin")}}
	}
	if reply, err := admin(a).Apply(t.Context(), []byte(yamlRules+"---\n"+yamlMachine+"serial: SN-1\nname: rack1-7\nnote: |\n  two\n  lines\nlock: {note: mine}\nlabels: {rack: a1}\n"), api.Apply{}); err != nil || reply.Edited != 2 {
		t.Fatalf("%+v, %v", reply, err)
	}
	text := a.exported(t, api.Export{})
	dry, err := admin(b).Apply(t.Context(), []byte(text), api.Apply{DryRun: true})
	if err != nil || dry.Created != 4 || dry.Edited != 1 || !dry.DryRun || dry.Plan == "" || dry.Results[0].Kind != "Rules" || dry.Results[0].Line != 1 || b.registry.Count() != 0 {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	if reply, err := admin(b).Apply(t.Context(), []byte(text), api.Apply{Plan: dry.Plan}); err != nil || reply.Created != 4 || reply.Refused != 0 {
		t.Fatalf("%+v, %v", reply, err)
	}
	if again := b.exported(t, api.Export{}); again != text {
		t.Errorf("exported again:\n%s\nwas\n%s", again, text)
	}
	for _, s := range []*server{a, b} {
		before := s.events(t)
		reply, err := admin(s).Apply(t.Context(), []byte(text), api.Apply{Exact: true, Prune: true})
		if err != nil || reply.Unchanged != 5 || len(reply.Results) != 5 || s.events(t) != before {
			t.Errorf("again: %+v, %v", reply, err)
		}
	}
	only := a.exported(t, api.Export{Only: []string{api.Machines}, Filter: "label.rack:a1"})
	if !strings.HasPrefix(only, yamlMachine+"name: rack1-7\n") || strings.Contains(only, "---") {
		t.Errorf("one machine:\n%s", only)
	}
	if only := a.exported(t, api.Export{Only: []string{api.RulesSet}}); strings.Contains(only, "kind: Machine") || !strings.Contains(only, "kind: Rules") {
		t.Errorf("the rules:\n%s", only)
	}
}

func TestApply(t *testing.T) {
	s := serve(t)
	if _, err := s.agent().Register(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/apply"
	const viewer, operator, admin = "vic viewer", "otto operator", "ana admin"
	new7 := yamlMachine + "name: rack1-7\nmacs: [\"02:00:00:00:00:77\"]\nowner: lab\n"
	for _, step := range []struct {
		as, path, body string
		status         int
		want           string // a part of the answer
	}{
		{operator, path + "?dry_run=true", new7, 200, `{"dry_run":true,"created":1,"edited":0,"unchanged":0,"refused":0,"results":[{"kind":"Machine","line":1,"action":"create","name":"rack1-7","changes":[{"field":"name","after":"rack1-7"}`},
		{operator, path, new7, 200, `"action":"create","id":"m-`},
		{operator, path, new7, 200, `"unchanged":1`},
		{operator, path, `{"apiVersion":"dragonfly/v1","kind":"Machine","name":"rack1-7","owner":""}`, 200, `"edited":1`},
		{operator, path, "# only this\n---\n" + yamlMachine + "name: nobody\n", 200, `{"kind":"Machine","line":3,"action":"refuse","problem":{"status":409,"title":"Conflict","detail":"there is no such machine yet`},
		{operator, path + "?prune=true", yamlMachine + "name: nobody\n", 200, `of the entries are refused`},
		{operator, path + "?prune=true&filter=owner:x", new7, 200, `"deleted":0`},
		{operator, path + "?prune=true&dry_run=true", new7, 200, `"deleted":1`},
		{operator, path + "?prune=true", new7, 200, `"action":"delete","id":"m-`},
		{operator, path + "?prune=true", yamlRules, 403, `the rules need the role admin; otto has the role operator: nothing was changed`},
		{admin, path + "?prune=true", yamlRules, 422, `pruning would delete every machine`},
		{operator, path + "?filter=owner:x", new7, 422, `"in":"query","pointer":"/filter"`},
		{operator, path + "?prune=true&filter=ownr:x", new7, 422, `did you mean owner?`},
		{operator, path + "?dry_run=maybe", new7, 422, `"pointer":"/dry_run"`},
		{operator, path, new7 + "---\n" + yamlRules, 403, `needs? the role admin`},
		{operator, path + "?dry_run=true", yamlRules, 403, `the role admin`},
		{admin, path, yamlRules, 200, `{"kind":"Rules","line":1,"action":"edit","changes":[{"field":"rule all","after":"{\"set\":{\"owner\":\"lab\"}}"}]}`},
		{admin, path, yamlRules, 200, `"action":"unchanged"`},
		{admin, path, "", 400, `request body is required`},
		{admin, path, "\n", 422, `"pointer":"/0","line":1,"message":"there is no document`},
		{admin, path, new7 + "---\n" + yamlMachine + "serail: x\n", 422, `{"in":"body","pointer":"/1/serail","line":9,"message":"there is no such field; did you mean serial?"}`},
		{admin, path, yamlMachine + "kind: x\n---\n" + yamlMachine + "macs: [\"02:00\"]\n", 422, `"pointer":"/1/macs/0","line":7,"message":"hardware address`},
		{admin, path, "a: [", 400, `"line":1,"message":"this is no YAML`},
		{admin, path, "a: \"\x00\"", 400, `"line":1,"message":"byte 4 of the text is the control character U+0000"`},
		{admin, path, "\xff", 400, `is not UTF-8`},
		{admin, path, strings.Repeat(yamlMachine+"name: x\n---\n", 11_000), 422, `more than 10010 documents`},
		{admin, path, yamlMachine + "note: " + strings.Repeat("x", 2<<20), 422, `bytes; at most 1048576`},
		{admin, path, "#" + strings.Repeat("x", 10<<20), 413, `"status":413`},
		{admin, path, "a: &a [x,x]\nb: [*a,*a]\n", 422, `"line":1,"message":"it is missing; want dragonfly/v1"`},
		{admin, path, yamlMachine + "tags: &a [x,x]\n", 422, `"pointer":"/0/tags","line":3,"message":"anchors`},
	} {
		before, _ := s.store.LastEvent(t.Context()) // the feed may lag
		status, _, body := s.call(t, http.MethodPost, step.path, step.body, "Content-Type", "application/yaml", "As", step.as)
		if want := strings.TrimPrefix(step.want, "needs? "); status != step.status || !strings.Contains(body, want) {
			t.Errorf("%.100s: %d %.900s; want %d with %s", step.body, status, body, step.status, want)
		}
		if after, _ := s.store.LastEvent(t.Context()); step.status != 200 && after != before {
			t.Errorf("%.100s: something happened", step.body)
		}
	}
	for kind, want := range map[string]int{"text/yaml; charset=utf-8": 200, "application/json": 200, "application/x-www-form-urlencoded": 415, "multipart/form-data": 415, ";": 415} {
		if status, _, body := s.call(t, http.MethodPost, path, new7, "Content-Type", kind, "As", operator); status != want {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
}

// A sheet is a manifest of machines.
func TestApplyCSV(t *testing.T) {
	s := serve(t)
	const path = "/api/v1/apply"
	sheet := "Host name;MAC;label.rack\r\nrack1-7;52-54-00-12-34-56;a 1\r\n;52-54-00-12-34-57;\r\n"
	for _, step := range []struct {
		path, body string
		status     int
		want       string // a part of the answer
	}{
		{path + "?dry_run=true", sheet, 200, `{"dry_run":true,"created":2,"edited":0,"unchanged":0,"refused":0,"results":[{"kind":"Machine","line":2,"action":"create","name":"rack1-7","changes":[{"field":"name","after":"rack1-7"}`},
		{path, sheet, 200, `"created":2`},
		{path, sheet, 200, `"unchanged":2`},
		{path, "name,owner\nrack1-7,ana\n", 200, `"edited":1`},
		{path, "name,owner,MAC Address\nok,ana,02:00:00:00:00:01\nRack 1,ana,zz\n", 422, `{"in":"body","pointer":"/1/MAC Address","line":3,"message":"hardware address`},
		{path, "name,owner\nok,\"ana\n", 400, `"message":"this is no CSV: `},
		{path, "name\n" + strings.Repeat("x\n", 2_000_000), 422, `more than 10000 machines, of which this is the next`},
		{path, "name\n" + strings.Repeat(",", 5_000_000), 422, `there is no machine in it`},
	} {
		before, _ := s.store.LastEvent(t.Context()) // the feed may lag
		status, _, body := s.call(t, http.MethodPost, step.path, step.body, "Content-Type", "text/csv; charset=utf-8", "As", "otto operator")
		if status != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%.100s: %d %.900s; want %d with %s", step.body, status, body, step.status, step.want)
		}
		if after, _ := s.store.LastEvent(t.Context()); step.status != 200 && after != before {
			t.Errorf("%.100s: something happened", step.body)
		}
	}
}

// With the ETag of a dry run that is done and nothing else.
func TestApplyIfMatch(t *testing.T) {
	s := serve(t)
	if _, err := s.agent().Register(t.Context(), request()); err != nil {
		t.Fatal(err)
	}
	apply := func(query, text, etag string) (int, string, string) {
		t.Helper()
		return s.call(t, http.MethodPost, "/api/v1/apply"+query, text, "Content-Type", "application/yaml", "As", "ana operator", "If-Match", etag)
	}
	const said = yamlMachine + "serial: SN-1\nowner: ana\nlock: {}\n"
	_, etag, _ := apply("?dry_run=true", said, "")
	if status, _, body := apply("", yamlMachine+"serial: SN-1\nowner: ben\n", etag); status != 412 || !strings.Contains(body, "not what was agreed to") {
		t.Errorf("another text: %d %s", status, body)
	}
	if status, _, body := apply("?prune=true", yamlMachine+"macs: [\"02:00:00:00:00:07\"]\n", etag); status != 412 {
		t.Errorf("another thing: %d %s", status, body)
	}
	if status, _, body := apply("", said, etag); status != 200 || !strings.Contains(body, `"edited":1`) {
		t.Errorf("as agreed: %d %s", status, body)
	}
	if status, _, body := apply("", said, etag); status != 412 {
		t.Errorf("again, where it is done: %d %s", status, body)
	}
	if status, _, body := apply("", said, "*"); status != 200 || !strings.Contains(body, `"unchanged":1`) {
		t.Errorf("whatever there is: %d %s", status, body)
	}
	_, etag, _ = apply("?dry_run=true&prune=true", yamlMachine+"serial: NEW-1\n", "")
	if etag == "" {
		t.Fatal("a dry run has no ETag")
	}
	if status, _, body := apply("?prune=true", yamlMachine+"serial: NEW-1\n", etag); status != 200 || !strings.Contains(body, "the machine is locked by ana") {
		t.Errorf("a locked machine: %d %s", status, body)
	}
}

func TestApplyOnce(t *testing.T) {
	s := serve(t)
	s.machines(t, 3)
	const text = `{"apiVersion":"dragonfly/v1","kind":"Machine","name":"kept","serial":"NEW-1"}`
	first := s.ask(t, "ana", "k1", "/api/v1/apply?prune=true", text)
	again := s.ask(t, "ana", "k1", "/api/v1/apply?prune=true", text)
	if first.status != 200 || !strings.Contains(first.body, `"deleted":3`) || !again.replayed || again.body != first.body || s.registry.Count() != 1 {
		t.Errorf("%+v\n%+v\n%d machines", first, again, s.registry.Count())
	}
	if other := s.ask(t, "ana", "k1", "/api/v1/apply", text); other.status != 422 {
		t.Errorf("another request: %+v", other)
	}
}

// halting is a store that can be switched off for reads of several machines.
type halting struct {
	*registrytest.MemoryStore
	after atomic.Int64 // reads that still work; negative: all
}

func (s *halting) Machines(ctx context.Context, q registry.Query) ([]registry.Machine, error) {
	if s.after.Load() >= 0 && s.after.Add(-1) < 0 {
		s.after.Store(0)
		return nil, registry.ErrUnavailable
	}
	return s.MemoryStore.Machines(ctx, q)
}

// An export that fails is a problem, or where it has begun one that breaks off: what
// was read is never taken for all.
func TestExportThatFails(t *testing.T) {
	store := &halting{MemoryStore: registrytest.Memory()}
	store.after.Store(-1)
	s := serveOver(t, store)
	var list []string
	for i := range 1200 {
		list = append(list, fmt.Sprintf("%sname: node-%04d\nserial: S-%d\nnote: %s\n", yamlMachine, i, i, strings.Repeat("x", 200)))
	}
	operator := &api.Client{Base: s.URL, HTTP: &http.Client{Transport: asActor("ana operator")}}
	if reply, err := operator.Apply(t.Context(), []byte(strings.Join(list, "---\n")), api.Apply{}); err != nil || reply.Created != 1200 {
		t.Fatalf("%d created, %v", reply.Created, err)
	}
	whole := s.exported(t, api.Export{})
	for reads := range 3 { // of 500 machines each
		store.after.Store(int64(reads))
		var text bytes.Buffer
		_, err := operator.Export(t.Context(), api.Export{}, &text)
		switch {
		case err == nil:
			t.Errorf("after %d reads: no error", reads)
		case reads == 0 && (api.Status(err) != http.StatusServiceUnavailable || text.Len() > 0):
			t.Errorf("before anything: %v, %d bytes", err, text.Len())
		case !strings.HasPrefix(whole, text.String()) || text.Len() == len(whole):
			t.Errorf("after %d reads: %d bytes of %d, %v", reads, text.Len(), len(whole), err)
		}
	}
	store.after.Store(-1)
	if again := s.exported(t, api.Export{}); again != whole {
		t.Error("exported again it is another text")
	}
	for path, want := range map[string]string{"?filter=ownr:x": "did you mean owner?", "?only=machine": `"pointer":"/only`} {
		if status, body := s.text(t, "/api/v1/export"+path); status != 422 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
	stop := errors.New("enough")
	if _, err := operator.Export(t.Context(), api.Export{}, writerFunc(func([]byte) (int, error) { return 0, stop })); !errors.Is(err, stop) {
		t.Errorf("a full disk: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Many who apply at once make what each says; where they say different things, one
// of them is the last.
func TestAppliedAtOnce(t *testing.T) {
	s := serve(t)
	done := make(chan error, 8)
	for i := range cap(done) {
		go func() {
			client := &api.Client{Base: s.URL, HTTP: &http.Client{Transport: asActor(fmt.Sprintf("u%d operator", i))}}
			text := fmt.Sprintf("%smacs: [\"02:00:00:00:00:01\"]\nname: shared\nowner: u%d\n---\n%smacs: [\"02:00:00:00:01:%02x\"]\nname: own-%d\n", yamlMachine, i, yamlMachine, i, i)
			reply, err := client.Apply(t.Context(), []byte(text), api.Apply{})
			if err == nil && slices.ContainsFunc(reply.Results, func(r api.ImportResult) bool { return r.Problem != nil && r.Problem.Status != http.StatusConflict }) {
				err = fmt.Errorf("%+v", reply)
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := s.registry.Count(); n != 9 {
		t.Errorf("%d machines", n)
	}
}
