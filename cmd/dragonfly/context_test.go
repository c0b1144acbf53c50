package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/registry/api"
)

// asked is a server that says which token it was asked with.
func asked(t *testing.T, over func(http.Handler) *httptest.Server) *httptest.Server {
	t.Helper()
	server := over(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.WriteProblem(w, http.StatusForbidden, "token="+r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	return server
}

func TestContexts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("DRAGONFLY_SERVER", "")
	t.Setenv("DRAGONFLY_TOKEN", "from-env")
	plain, secure := asked(t, httptest.NewServer), asked(t, httptest.NewTLSServer)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, step := range []struct {
		args  string
		stdin string
		env   string // DRAGONFLY_SERVER
		code  int
		want  string // a part of what is printed
	}{
		{args: "context list", want: "*        local  the appliance on this host  no     no\n"},
		{args: "context set lab", code: 2, want: "give its --server URL"},
		{args: "context set local --server " + plain.URL, code: 2, want: "always there"},
		{args: "context set a/b --server " + plain.URL, code: 2, want: "a name has letters"},
		{args: "context set lab --server ftp://lab", code: 2, want: "want a URL such as"},
		{args: "context set lab --server http://ana:secret@lab", code: 2, want: "want scheme, host and port"},
		{args: "context set lab --server " + plain.URL + " --token-stdin", code: 2, want: "want an API token"},
		{args: "context set lab --server " + plain.URL + "/ --token-stdin", stdin: "lab-token\n", want: "use lab"},
		{args: "context set rack --server " + secure.URL + " --token-stdin --ca " + empty, stdin: "x", code: 1, want: "read the certificates"},
		{args: "context set rack --server " + secure.URL + " --ca " + ca, want: "context rack is " + secure.URL},
		{args: "context list -o name", want: "local\nlab\nrack\n"},
		{args: "context list -o json", want: `"has_token": true`},
		{args: "context use lba", code: 2, want: `there is no context "lba"; did you mean lab?`},
		{args: "machine list --context lba", code: 2, want: "did you mean lab?"},
		{args: "machine list --context lab --server " + plain.URL, code: 2, want: "not both"},
		{args: "machine list --context lab", code: 6, want: "403: token=Bearer lab-token (" + plain.URL + ", context lab)"},
		{args: "machine list --context rack", code: 6, want: "token=Bearer from-env"},
		{args: "machine list --server " + secure.URL, code: 1, want: "certificate"},
		{args: "machine list --server " + secure.URL + " --ca " + ca, code: 6, want: "token=Bearer from-env (" + secure.URL + ")"},
		{args: "machine list --data-dir " + empty, code: 1, want: "list machines: no dragonfly runs with data directory " + empty},
		{args: "context use lab", want: "commands speak to " + plain.URL},
		{args: "machine list", code: 6, want: "token=Bearer lab-token"},
		{args: "machine list", env: secure.URL, code: 1, want: "certificate"},
		{args: "machine list --context lab", env: secure.URL, code: 6, want: "token=Bearer lab-token"},
		{args: "machine list --data-dir " + empty, env: secure.URL, code: 1, want: "no dragonfly runs"},
		{args: "machine list --context local --data-dir " + empty, code: 1, want: "no dragonfly runs"},
		{args: "context set lab --server " + secure.URL + " --ca " + ca, want: "context lab is"},
		{args: "machine list", code: 6, want: "token=Bearer from-env"}, // the token of the server before is not sent to another
		{args: "context delete nobody", code: 2, want: "there are local, lab, rack"},
		{args: "context delete lab", want: "context lab is gone"},
		{args: "context list", want: "*        local"},
		{args: "context use local", want: "the appliance on this host"},
	} {
		t.Setenv("DRAGONFLY_SERVER", step.env)
		root := rootCommand()
		var out bytes.Buffer
		root.SetArgs(strings.Fields(step.args))
		root.SetIn(strings.NewReader(step.stdin))
		root.SetOut(&out)
		root.SetErr(&out)
		cmd, err := root.ExecuteContextC(t.Context())
		if err != nil {
			out.WriteString(askedOf(cmd, err))
		}
		if exitCode(err) != step.code || !strings.Contains(out.String(), step.want) {
			t.Errorf("%s: exit %d: %s\nwant %d with %q", step.args, exitCode(err), out.String(), step.code, step.want)
		}
	}
	path := filepath.Join(home, "dragonfly", "config.yaml")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of contexts: %v, %v", info.Mode(), err)
	}
	for text, mode := range map[string]os.FileMode{"current: x": 0o644, "curent: x": 0o600, "- x": 0o600} {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := loadContexts(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s, %v: %v", text, mode, err)
		}
	}
}
