package main

import (
	"bytes"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is wrong with a command line is said with what to do, before anything is asked.
func TestFlagErrors(t *testing.T) {
	for args, want := range map[string]string{
		"serve --prot 4000":         "unknown flag: --prot; did you mean --port?",
		"serve --zzzzzz":            "unknown flag: --zzzzzz; see dragonfly serve --help",
		"serve -x":                  "unknown shorthand flag: 'x' in -x; see dragonfly serve --help",
		"serve --port":              "flag needs an argument: --port; see dragonfly serve --help",
		"serve --port http":         `--port "http": want a whole number`,
		"serve --boot=perhaps":      `--boot "perhaps": want true or false`,
		"audit --limit many":        `--limit "many": want a whole number`,
		"machine list -o tabel":     `--output "tabel": want table, wide, json, yaml or name; did you mean table?`,
		"machine list --output foo": `--output "foo": want table, wide, json, yaml or name`,
		"user list -o wdie":         `--output "wdie": want table, wide, json, yaml or name; did you mean wide?`,
		"events -o text":            `--output "text": want table, wide, json, yaml or name`,
		"journal -o name":           `--output "name": want table, json or yaml`,
		"rule test otter -o wide":   `--output "wide": want table, json or yaml`,
		"apply -f x -o yml":         `--output "yml": want table, wide, json, yaml or name; did you mean yaml?`,
		"template check -o yaml -":  `--output "yaml": want text or json`,
		"user role ana boss":        `role "boss": want viewer, operator or admin`,
		"user role ana opertor":     `role "opertor": want viewer, operator or admin; did you mean operator?`,
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs); code != exitUsage || errs.String() != "dragonfly: "+want+"\n" {
			t.Errorf("%s: exit %d, %s want %s", args, code, errs.String(), want)
		}
	}
}

// An appliance that cannot be reached, or does not let in, is told with what to do.
func TestRemedies(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	r.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	stranger := httptest.NewTLSServer(nil)
	defer stranger.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	t.Setenv("DRAGONFLY_TOKEN", "")
	for server, want := range map[string]string{
		closed: "connection refused: nothing listens there; is the appliance running, and the port right? (" + closed + ")",
		strings.Replace(r.url, "http", "https", 1): "the URL begins with http://, unless a proxy with TLS stands before the appliance (https://",
		stranger.URL: "name the certificates that vouch for it with --ca FILE (https://",
		r.url:        "here: in DRAGONFLY_TOKEN, or in a context (dragonfly context --help) (" + r.url + ")",
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"machine", "list", "--server", server}, &out, &errs); code == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d, %s", server, code, errs.String())
		}
	}
}
