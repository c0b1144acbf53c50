package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func TestExitCodes(t *testing.T) {
	answered := func(status int) error {
		return fmt.Errorf("show otter: %w", &api.Error{Status: status})
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), exitError},
		{usageError{errors.New("x")}, exitUsage},
		{fmt.Errorf("import: %w", usageError{answered(404)}), exitUsage},
		{answered(http.StatusNotFound), exitNotFound},
		{answered(http.StatusConflict), exitConflict},
		{answered(http.StatusPreconditionFailed), exitConflict},
		{answered(http.StatusLocked), exitConflict},
		{answered(http.StatusServiceUnavailable), exitAgainLater},
		{answered(http.StatusTooManyRequests), exitAgainLater},
		{answered(http.StatusUnauthorized), exitNotAllowed},
		{answered(http.StatusForbidden), exitNotAllowed},
		{answered(http.StatusUnprocessableEntity), exitError},
		{answered(http.StatusInternalServerError), exitError},
		{context.DeadlineExceeded, exitAgainLater},
		{&url.Error{Op: "Get", Err: os.ErrDeadlineExceeded}, exitAgainLater},
		{errors.Join(errors.New("x"), answered(http.StatusNotFound)), exitNotFound},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// Every status that the document of the API has ends with the code that the help has for
// it. One that is new there wants a line here.
func TestEveryStatusHasItsExitCode(t *testing.T) {
	want := map[int]int{400: exitError, 401: exitNotAllowed, 403: exitNotAllowed, 404: exitNotFound, 409: exitConflict,
		412: exitConflict, 413: exitError, 415: exitError, 422: exitError, 423: exitConflict, 429: exitAgainLater, 500: exitError, 503: exitAgainLater, 507: exitError}
	router, _ := unserved(t).gated()
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]any `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	documented := map[int]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for text := range op.Responses {
				status, err := strconv.Atoi(text)
				if _, known := want[status]; status >= 400 && !known || err != nil && text != "default" {
					t.Errorf("%s %s answers %s: which exit code has that?", method, path, text)
				}
				documented[status] = true
			}
		}
	}
	for status, code := range want {
		if got := exitCode(&api.Error{Status: status}); got != code || !documented[status] {
			t.Errorf("%d: exit code %d, want %d; in the document: %v", status, got, code, documented[status])
		}
	}
	for code := range exitDiffers + 1 {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)(^|\s)  %d  \S`, code)).MatchString(exitCodes) {
			t.Errorf("the help does not say what exit code %d is", code)
		}
	}
}

// The whole program ends with the code of what a server answers.
func TestRunExitsByTheAnswer(t *testing.T) {
	status := http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		api.WriteProblem(w, status, "as it is")
	}))
	defer server.Close()
	for _, c := range []struct {
		status int
		args   string
		want   int
	}{
		{503, "machine list", exitAgainLater},
		{403, "machine list", exitNotAllowed},
		{404, "machine show otter", exitNotFound},
		{423, "machine edit otter --owner ana", exitConflict},
		{500, "machine list", exitError},
		{200, "machine show", exitUsage},
		{200, "machine lst --sort name", exitUsage},
		{200, "machin list", exitUsage},
		{200, "machine list --no-such-flag", exitUsage},
		{200, "user list otter", exitUsage},
	} {
		status = c.status
		var out, errs bytes.Buffer
		args := append(strings.Fields(c.args), "--server", server.URL)
		if code := run(t.Context(), args, &out, &errs); code != c.want || errs.Len() == 0 {
			t.Errorf("%s, %d: exit %d, want %d: %s%s", c.args, c.status, code, c.want, out.String(), errs.String())
		}
	}
}

// What an appliance refuses, and what cannot be asked of it, ends with the code of the
// help's table, whatever words are chosen for it.
func TestExitsOfRefusals(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	name := r.boot(t, registry.MAC{2, 0, 0, 0, 0, 1}, "R1").Name
	r.run(t, "", "machine", "lock", name)
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	entry := r.run(t, "", "os", "show", "debian-12")
	for _, c := range []struct {
		args string
		want int
		says string
	}{
		{"user create ana --password-stdin", exitConflict, "there is an account ana already"},
		{"user role eve admin", exitNotFound, "not found"},
		{"rule edit -f " + file("version: 7\nrules: []\n"), exitConflict, "edit rules"},
		{"defaults edit -f " + file("version: 7\n"), exitConflict, "edit the defaults"},
		{"os add", exitUsage, "want a file"},
		{"os add debian-12", exitUsage, "no arguments but -f FILE"},
		{"os add -f " + file(entry), exitConflict, "dragonfly os edit replaces it"},
		{"os edit", exitUsage, "want a file"},
		{"os edit -f " + file(strings.Replace(entry, "id: debian-12", "id: debian-12-lab", 1)), exitNotFound, "dragonfly os add adds it"},
		{"machine edit " + name + " --name UPPER_case", exitError, "422"},
		{"machine merge " + name, exitUsage, "want the record that stays"},
		{"machine merge " + name + " " + name + " --yes", exitUsage, "the same record"},
		{"machine retire " + name, exitConflict, "is locked"},
		{"machine retire --filter model:r1 --yes", exitConflict, "no machine is left to retire"},
		{"machine delete --filter model:r1 --yes", exitConflict, "no machine is left to delete"},
		{"deploy --filter model:r1 --os debian-12 --yes", exitConflict, "is locked"},
		{"wipe --filter model:r1 --yes", exitConflict, "is locked"},
		{"wipe --filter model:none --yes", 0, ""},
		{"image gc --dry-run", 0, ""},
	} {
		if code, _, stderr := r.cli(t, "correct horse battery\n", strings.Fields(c.args)...); code != c.want || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, want %d with %q: %s", c.args, code, c.want, c.says, stderr)
		}
	}
}

// Only what was asked of a server is told with its URL.
func TestErrorsNameTheServerThatWasAsked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		api.WriteProblem(w, http.StatusInternalServerError, "as it is")
	}))
	defer server.Close()
	none := filepath.Join(t.TempDir(), "none")
	for args, c := range map[string]struct {
		asked bool
		says  string
	}{
		"machine list":                             {true, "500: as it is"},
		"machine import " + none + ".csv":          {false, "no such file"},
		"rule edit -f " + none:                     {false, "no such file"},
		"defaults edit -f " + none:                 {false, "no such file"},
		"os add -f " + none:                        {false, "no such file"},
		"apply -f " + none:                         {false, "no such file"},
		"image import " + none:                     {false, "no such file"},
		"image add http://x/y --key " + none:       {false, "no such file"},
		"deploy otter --user-data " + none:         {false, "no such file"},
		"deploy otter --ssh-key " + none:           {false, "no such file"},
		"deploy otter --set nonsense":              {false, "KEY=VALUE"},
		"token create x --owner ana --expires 90y": {false, "such as 12h or 90d"},
		"deployment list --limit 0":                {false, "want at least 1"},
		"export -o " + none + "/fleet.yaml":        {false, "no such file"},
		"backup -o " + none + "/":                  {false, "there is no directory " + none + "; make it first"},
		"backup -o " + none + "/x.tar.zst":         {false, "there is no directory " + none + "; make it first"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append(strings.Fields(args), "--server", server.URL), &out, &errs)
		if code == 0 || !strings.Contains(errs.String(), c.says) || strings.Contains(errs.String(), server.URL) != c.asked {
			t.Errorf("%s: exit %d, %s", args, code, errs.String())
		}
	}
}

func TestUnknownCommands(t *testing.T) {
	for args, want := range map[string]string{
		"machin list":             `dragonfly has no command "machin"; did you mean machine?`,
		"machine lst --sort name": `dragonfly machine has no command "lst"; did you mean list?`,
		"help nope":               `dragonfly has no command "nope"; there are apply, audit, backup, `,
		"help machin":             `dragonfly has no command "machin"; did you mean machine?`,
		"help machine lst":        `dragonfly machine has no command "lst"; did you mean list?`,
		"completion bsh":          `dragonfly completion has no command "bsh"; did you mean bash?`,
		"rule zzzzzz":             `dragonfly rule has no command "zzzzzz"; there are edit, list, test`,
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != exitUsage || !strings.HasPrefix(errs.String(), "dragonfly: "+want) {
			t.Errorf("%s: exit %d, %q", args, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	for _, args := range []string{"help", "help machine", "help machine list", "completion"} {
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != 0 {
			t.Errorf("%s: exit %d, %s", args, code, errs.String())
		}
	}
	if code := run(t.Context(), []string{"machine"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "state:ready,failed") {
		t.Errorf("a command with commands: exit %d, %s%s", code, out.String(), errs.String())
	}
}
