package api_test

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/registrytest"
)

// seals shows what was sealed.
type seals struct{}

func (seals) Seal(_, secret string) string { return secret }

func (seals) Open(_, sealed string) (string, error) { return sealed, nil }

// deploying is a server that can deploy "linux" to machines with a disk.
func deploying(t *testing.T) *server {
	t.Helper()
	return serveEquipped(t, registrytest.Memory(), registry.Tools{
		Catalogue: []registry.OS{{ID: "linux", Name: "Linux", Template: "image", FirstBoot: registry.FirstBootNone,
			Images: map[string]registry.OSImage{"amd64": {URL: "http://x/y", Format: "raw"}}}},
		Templates: map[string]string{"image": "an image", "wipe": "a wipe"}, Sealer: seals{},
		Limits: registry.DeployLimits{Wait: time.Hour, Verify: time.Hour},
		Render: func(text string, _ registry.Machine, params map[string]string) (registry.Rendered, error) {
			return registry.Rendered{Text: text + " for " + params["hostname"], Notes: []string{"a note"},
				Actions: []registry.RecipeAction{{Name: "write", Image: "image2disk", Timeout: 60, Environment: map[string]string{"DEST_DISK": params["disk"], "SECRET": "s3cret"}},
					{Name: "restart", Image: "reboot", Timeout: 60}}}, nil
		},
		Server: func(registry.Machine) (string, error) { return "http://server", nil },
	})
}

// racked registers n machines with one disk each, and returns them by name.
func (s *server) racked(t *testing.T, n int) []registry.Machine {
	t.Helper()
	for i := range n {
		_, _, err := s.registry.Register(t.Context(), registry.Registration{MAC: registry.MAC{2, 0, 0, 2, byte(i >> 8), byte(i)},
			Hardware: registry.Hardware{CPU: registry.CPU{Arch: "amd64"}, Disks: []registry.Disk{{Name: "sda", Serial: fmt.Sprint("S", i), ByID: fmt.Sprint("/dev/disk/by-id/ata-S", i), Bytes: 1e11, Contents: registry.Blank}}}})
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

func TestDeployAnswers(t *testing.T) {
	s := deploying(t)
	m := s.racked(t, 1)[0]
	client := &api.Client{Base: s.URL}
	plan, err := client.Deploy(t.Context(), m.Name, registry.DeployRequest{OS: "linux"}, true)
	if err != nil || !plan.DryRun || plan.Plan.Template != "an image for "+m.Name || plan.Plan.Actions[0].Environment["DEST_DISK"] != "/dev/disk/by-id/ata-S0" || plan.Plan.Notes[0] != "a note" {
		t.Errorf("dry run: %+v, %v", plan, err)
	}
	status, _, body := s.call(t, "POST", "/api/v1/machines/"+m.ID+"/deploy", `{"os":"linux"}`)
	if status != http.StatusCreated || strings.Contains(body, "s3cret") || strings.Contains(body, `"plan"`) {
		t.Fatalf("%d %s", status, body)
	}
	list, next, err := client.Deployments(t.Context(), api.DeploymentSelection{}, "", 10)
	if err != nil || len(list) != 1 || next != "" || list[0].MachineName != m.Name {
		t.Fatalf("%+v, %v", list, err)
	}
	id := list[0].ID
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/api/v1/machines/" + m.ID + "/deploy", `{"os":"linux"}`, 409, "the deployment of linux, " + id + ", is waiting on it; cancel that first"},
		{"POST", "/api/v1/machines/nobody/deploy", `{"os":"linux"}`, 404, "not found"},
		{"POST", "/api/v1/machines/" + m.ID + "/deploy", `{"os":"linux","colour":1}`, 422, `there is no member \"colour\"`},
		{"POST", "/api/v1/machines/" + m.ID + "/deploy", `{"kind":"melt"}`, 422, `"pointer":"/kind"`},
		{"POST", "/api/v1/machines/" + m.ID + "/deploy", `{"os":"` + strings.Repeat("x", 65) + `"}`, 422, `"pointer":"/os"`},
		{"POST", "/api/v1/machines/" + m.ID + "/deploy?dry_run=true", `{"os":"linus"}`, 200, "did you mean linux?"},
		{"POST", "/api/v1/machines/" + m.ID + "/deploy", `{`, 400, "not JSON"},
		{"GET", "/api/v1/deployments/" + id, "", 200, `"state":"waiting"`},
		{"GET", "/api/v1/deployments/d-none", "", 404, "not found"},
		{"GET", "/api/v1/deployments/d-none/log", "", 404, "not found"},
		{"GET", "/api/v1/deployments/" + id + "/log", "", 200, ""},
		{"GET", "/api/v1/deployments/" + id + "/template", "", 200, "an image for "},
		{"GET", "/api/v1/deployments?state=waiting,running&os=linux&machine=" + m.Name, "", 200, id},
		{"GET", "/api/v1/deployments?state=melted", "", 422, `"in":"query"`},
		{"GET", "/api/v1/deployments?machine=nobody", "", 404, "not found"},
		{"GET", "/api/v1/deployments?page_token=nonsense", "", 422, "page_token"},
		{"GET", "/api/v1/deployments?page_size=0", "", 422, "page_size"},
		{"POST", "/api/v1/deployments/" + id + "/retry", "", 409, "it is waiting"},
		{"POST", "/api/v1/deployments/d-none/cancel", "", 404, "not found"},
		{"POST", "/api/v1/deployments/" + id + "/cancel", "", 200, `"state":"cancelled"`},
		{"POST", "/api/v1/deployments/" + id + "/cancel", "", 409, "a deployment that is cancelled may not cancel"},
		{"POST", "/api/v1/deployments/" + id + "/retry", "", 201, `"state":"waiting"`},
		{"GET", "/api/v1/oses", "", 200, `"id":"linux"`},
		{"GET", "/api/v1/oses/linus", "", 404, "did you mean linux?"},
		{"PUT", "/api/v1/oses/mine", `{"id":"other","name":"x","template":"image","first_boot":"none"}`, 422, "it is another one than in the URL"},
		{"PUT", "/api/v1/oses/mine", `{"id":"mine","name":"Mine","template":"none such","first_boot":"none","images":{"amd64":{"url":"http://x/y","format":"raw"}}}`, 422, "there is no template"},
		{"PUT", "/api/v1/oses/mine", `{"id":"mine","name":"Mine","template":"image","first_boot":"none","images":{"sparc":{"url":"ftp://x/y","format":"zip"}}}`, 422, `"pointer":"/images/sparc"`},
		{"PUT", "/api/v1/oses/mine", `{"id":"mine","name":"Mine","template":"image","first_boot":"none","images":{"amd64":{"url":"http://x/y","format":"raw"}}}`, 200, `"revision":1`},
		{"PATCH", "/api/v1/oses/mine", `{"disabled":true}`, 200, `"disabled":true`},
		{"PATCH", "/api/v1/oses/none", `{"disabled":true}`, 404, "not found"},
		{"DELETE", "/api/v1/oses/linux", "", 409, "disable it instead"},
		{"PATCH", "/api/v1/oses/linux", `{"disabled":true}`, 200, `"builtin":true`},
		{"DELETE", "/api/v1/oses/linux", "", 204, ""},
		{"DELETE", "/api/v1/oses/mine", "", 204, ""},
	} {
		status, _, body := s.call(t, tt.method, tt.path, tt.body)
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s %s %.40s: %d %.400s; want %d with %q", tt.method, tt.path, tt.body, status, body, tt.status, tt.says)
		}
	}
}

// An ETag keeps one operator from overwriting what another one has changed.
func TestOSRevisions(t *testing.T) {
	s := deploying(t)
	const mine = `{"id":"mine","name":"Mine","template":"image","first_boot":"none","images":{"amd64":{"url":"http://x/y","format":"raw"}}}`
	for _, tt := range []struct {
		method, body, match string
		status              int
	}{
		{"PUT", mine, `"3"`, 412}, {"PUT", mine, `"0"`, 200}, {"PUT", mine, `"0"`, 412}, {"PUT", mine, `"1"`, 200}, {"PUT", mine, "", 200},
		{"PATCH", `{"disabled":true}`, `"1"`, 412}, {"PATCH", `{"disabled":true}`, `"3"`, 200}, {"DELETE", "", `"1"`, 412}, {"DELETE", "", `"4"`, 204},
	} {
		if status, _, body := s.call(t, tt.method, "/api/v1/oses/mine", tt.body, "If-Match", tt.match); status != tt.status {
			t.Errorf("%s with %s: %d %s; want %d", tt.method, tt.match, status, body, tt.status)
		}
	}
}

func TestDeployMany(t *testing.T) {
	s := deploying(t)
	all := s.racked(t, 5)
	client := &api.Client{Base: s.URL}
	if _, err := client.Lock(t.Context(), all[1].ID, "mine"); err != nil {
		t.Fatal(err)
	}
	req := api.DeployManyRequest{Filter: "state:ready", Concurrency: 2, DryRun: true, Deployment: registry.DeployRequest{OS: "linux"}}
	reply, err := client.DeployMany(t.Context(), req)
	if err != nil || reply.Done != 4 || reply.Refused != 1 || reply.Results[1].Status != http.StatusLocked || reply.Results[0].Reply.Plan.Template == "" {
		t.Fatalf("dry run: %+v, %v", reply, err)
	}
	req.DryRun = false
	reply, err = client.DeployMany(t.Context(), req)
	if err != nil || reply.Done != 4 || reply.Refused != 1 || reply.Results[1].Reply != nil || reply.Results[0].Reply.Deployment.State != registry.DeploymentPending {
		t.Fatalf("%+v, %v", reply, err)
	}
	selection := api.DeploymentSelection{Batch: reply.Batch, States: []registry.DeploymentState{registry.DeploymentWaiting}}
	for try := 0; ; try++ {
		waiting, err := client.AllDeployments(t.Context(), selection, 10)
		if err != nil || len(waiting) > 2 || try > 1000 {
			t.Fatalf("%d are under way, %v", len(waiting), err)
		}
		if len(waiting) == 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var ids []string
	for token := ""; ; {
		page, next, err := client.Deployments(t.Context(), api.DeploymentSelection{Batch: reply.Batch}, token, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			ids = append(ids, d.ID)
		}
		if token = next; token == "" {
			break
		}
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 4 {
		t.Errorf("pages have %v", ids)
	}
	for body, says := range map[string]string{
		`{"deployment":{"os":"linux"}}`:                                              "/machines",
		`{"machines":["a","b"],"deployment":{"os":"linux","seed":{"hostname":"x"}}}`: "/deployment/seed/hostname",
		`{"machines":["a","b"],"deployment":{"os":"linux","confirm":"x"}}`:           "/deployment/confirm",
		`{"filter":"stat:x","deployment":{"os":"linux"}}`:                            "did you mean state?",
		`{"filter":"state:ready","concurrency":-1,"deployment":{"os":"linux"}}`:      "/concurrency",
		`{"filter":"state:ready","machines":["a"],"deployment":{"os":"linux"}}`:      "/machines",
	} {
		if status, _, text := s.call(t, "POST", "/api/v1/deployments", body); status != 422 || !strings.Contains(text, says) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

// A deployment that is asked for twice with one key is one.
func TestDeployOnce(t *testing.T) {
	s := deploying(t)
	m := s.racked(t, 1)[0]
	for range 2 {
		if got := s.ask(t, "ana operator", "key-1", "/api/v1/machines/"+m.ID+"/deploy", `{"os":"linux"}`); got.status != http.StatusCreated {
			t.Errorf("%+v", got)
		}
	}
	if list, _, err := (&api.Client{Base: s.URL}).Deployments(t.Context(), api.DeploymentSelection{}, "", 10); err != nil || len(list) != 1 || list[0].By != "ana" {
		t.Errorf("%+v, %v", list, err)
	}
}

// What an agent may not send is refused, and leaves nothing behind.
func TestAgentDeploymentRefuses(t *testing.T) {
	s := deploying(t)
	m := s.racked(t, 1)[0]
	client := &api.Client{Base: s.URL}
	reply, err := client.Deploy(t.Context(), m.ID, registry.DeployRequest{OS: "linux"}, false)
	if err != nil {
		t.Fatal(err)
	}
	agent := &api.Client{Base: s.URL, Token: s.tokens.Machine(m.ID, "")}
	if _, err := agent.Claim(t.Context(), "boot-0001"); err != nil {
		t.Fatal(err)
	}
	d := reply.Deployment
	good := fmt.Sprintf(`"deployment":%q,"attempt":1,"action":0,"state":"running"`, d.ID)
	for name, tt := range map[string]struct {
		token, path, body string
		status            int
		says              string
	}{
		"no token":                  {"", "report", "{" + good + "}", 401, "Bearer"},
		"a boot token":              {s.tokens.Boot(mac), "report", "{" + good + "}", 401, "not valid"},
		"a machine that is gone":    {s.tokens.Machine("m-gone", ""), "claim", `{"boot_id":"boot-0001"}`, 401, "record was removed"},
		"another machine":           {s.tokens.Machine("m-other", ""), "report", "{" + good + "}", 409, "not this machine's"},
		"no boot":                   {agent.Token, "claim", `{}`, 422, "/boot_id"},
		"a strange boot":            {agent.Token, "claim", `{"boot_id":"../../etc"}`, 422, "/boot_id"},
		"another deployment":        {agent.Token, "report", `{"deployment":"d-none","attempt":1,"action":0,"state":"running"}`, 404, "not found"},
		"a state that is none":      {agent.Token, "report", strings.Replace("{"+good+"}", "running", "pending", 1), 422, "/state"},
		"an action out of range":    {agent.Token, "report", strings.Replace("{"+good+"}", `"action":0`, `"action":7`, 1), 422, "/action"},
		"an action before its turn": {agent.Token, "report", strings.Replace("{"+good+"}", `"action":0`, `"action":1`, 1), 422, "/action"},
		"a negative amount":         {agent.Token, "report", "{" + good + `,"progress":{"done":-1}}`, 422, "/progress/done"},
		"too many lines":            {agent.Token, "report", "{" + good + `,"lines":[` + strings.Repeat(`"x",`, 600) + `"x"]}`, 422, "/lines"},
		"too long a message":        {agent.Token, "report", "{" + good + `,"message":"` + strings.Repeat("x", 5000) + `"}`, 422, "/message"},
		"too much":                  {agent.Token, "report", "{" + good + `,"lines":["` + strings.Repeat("x", 2<<20) + `"]}`, 413, ""},
		"a member too many":         {agent.Token, "report", "{" + good + `,"admin":true}`, 422, "there is no member"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, body := s.call(t, "POST", "/api/v1/agent/deployment/"+tt.path, tt.body, "Authorization", bearerOf(tt.token))
			if status != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("%d %.300s; want %d with %q", status, body, tt.status, tt.says)
			}
		})
	}
	shown, err := client.Deployment(t.Context(), d.ID)
	if err != nil || shown.Actions[0].State != registry.ActionPending || shown.Wrote {
		t.Errorf("%+v, %v", shown, err)
	}
}

func bearerOf(token string) string {
	if token == "" {
		return ""
	}
	return "Bearer " + token
}

// A log is followed until its deployment ends, and says what is missing in it.
func TestDeploymentLog(t *testing.T) {
	s := deploying(t)
	m := s.racked(t, 1)[0]
	client, agent := &api.Client{Base: s.URL}, &api.Client{Base: s.URL, Token: s.tokens.Machine(m.ID, "")}
	reply, err := client.Deploy(t.Context(), m.ID, registry.DeployRequest{OS: "linux"}, false)
	if err != nil {
		t.Fatal(err)
	}
	id := reply.Deployment.ID
	say := func(attempt, from int, lines ...string) {
		t.Helper()
		_, err := agent.Report(t.Context(), api.ReportRequest{Deployment: id, Attempt: attempt, State: registry.ActionRunning, LinesFrom: from, Lines: lines})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := agent.Claim(t.Context(), "boot-0001"); err != nil {
		t.Fatal(err)
	}
	say(1, 0, "one", "two")
	say(1, 5, "six\x1b[2J")
	if _, err := agent.Claim(t.Context(), "boot-0002"); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 20)
	done := make(chan error, 1)
	go func() {
		done <- client.DeploymentLog(t.Context(), id, true, func(line string) error { lines <- line; return nil })
		close(lines)
	}()
	for _, want := range []string{"Z 1 one", "Z 1 two", "--- 3 lines are not kept", "Z 1 six[2J"} {
		if got := <-lines; !strings.HasSuffix(got, want) {
			t.Errorf("%q; want %q", got, want)
		}
	}
	say(2, 0, "again")
	for _, want := range []string{"--- attempt 2", "Z 1 again"} {
		if got := <-lines; !strings.HasSuffix(got, want) {
			t.Errorf("%q; want %q", got, want)
		}
	}
	if _, err := client.CancelDeployment(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, more := <-lines; more {
		t.Errorf("and then %q", got)
	}
}

// Who watches the events sees how far a deployment is, without a number of its own.
func TestProgressIsStreamed(t *testing.T) {
	s := deploying(t)
	m := s.racked(t, 1)[0]
	client, agent := &api.Client{Base: s.URL}, &api.Client{Base: s.URL, Token: s.tokens.Machine(m.ID, "")}
	reply, err := client.Deploy(t.Context(), m.ID, registry.DeployRequest{OS: "linux"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Claim(t.Context(), "boot-0001"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.URL + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	report := api.ReportRequest{Deployment: reply.Deployment.ID, Attempt: 1, State: registry.ActionRunning, Progress: &registry.Progress{Stage: "write", Done: 50, Total: 100, Rate: 10}}
	if _, err := agent.Report(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	stream, previous, last := bufio.NewScanner(resp.Body), "", ""
	for stream.Scan() {
		if data, found := strings.CutPrefix(stream.Text(), "data: "); found && last == "event: "+api.ProgressKind {
			if !strings.Contains(data, `"percent":25`) || !strings.Contains(data, reply.Deployment.ID) || strings.HasPrefix(previous, "id:") {
				t.Errorf("%s\n%s\n%s", previous, last, data)
			}
			return
		}
		previous, last = last, stream.Text()
	}
	t.Error("the stream ended")
}
