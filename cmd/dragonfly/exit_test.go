package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

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

func TestUnknownCommands(t *testing.T) {
	for args, want := range map[string]string{
		"machin list":             `dragonfly has no command "machin"; did you mean machine?`,
		"machine lst --sort name": `dragonfly machine has no command "lst"; did you mean list?`,
		"rule zzzzzz":             `dragonfly rule has no command "zzzzzz"; there are edit, list, test`,
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != exitUsage || errs.String() != "dragonfly: "+want+"\n" {
			t.Errorf("%s: exit %d, %q", args, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"machine"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "state:ready,failed") {
		t.Errorf("a command with commands: exit %d, %s%s", code, out.String(), errs.String())
	}
}
