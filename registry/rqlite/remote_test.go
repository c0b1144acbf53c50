package rqlite

import (
	"strings"
	"testing"
)

func TestRemote(t *testing.T) {
	for address, want := range map[string]string{
		"db":                              "http://db:4001",
		"db:80":                           "http://db:80",
		"http://db":                       "http://db:4001",
		"https://db:443/":                 "https://db:443",
		"192.0.2.1, 192.0.2.2:5":          "http://192.0.2.1:4001 http://192.0.2.2:5",
		"[2001:db8::1]:7":                 "http://[2001:db8::1]:7",
		"[2001:db8::1]":                   "http://[2001:db8::1]:4001",
		"2001:db8::1":                     "http://[2001:db8::1]:4001",
		"https://u:p@a:4001,b:4001":       "https://u:p@a:4001 https://u:p@b:4001",
		"u:p:@/w@a":                       "http://u:p%3A%40%2Fw@a:4001",
		"":                                "error: a host is empty",
		"a,":                              "error: a host is empty",
		":4001":                           `error: host ":4001" is not`,
		"ftp://a":                         `error: scheme "ftp"`,
		"a:0":                             `error: host "a:0": port "0"`,
		"a:70000":                         `error: host "a:70000": port`,
		"a/db":                            `error: host "a/db" is not`,
		"a?level=none":                    `error: host "a?level=none" is not`,
		"a b":                             `error: host "a b" is not`,
		"a#b":                             `error: host "a#b" is not`,
		"http://" + "u:secret@" + "ftp//": `error: host "ftp/" is not`,
	} {
		nodes, err := parseRemote(address)
		var got []string
		for _, n := range nodes {
			got = append(got, n.String())
		}
		if text, isError := strings.CutPrefix(want, "error: "); isError {
			if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v, %v; want %s", address, got, err, text)
			}
		} else if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v; want %s", address, got, err, want)
		}
	}
}

func FuzzRemote(f *testing.F) {
	for _, seed := range []string{"db", "https://u:p@a:4001,b", "[::1]", "@", "://", "a:b:c", "%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		cfg, err := Remote(address)
		if err != nil {
			return
		}
		if _, err := connect(cfg.URL, cfg.HTTP, nil); err != nil {
			t.Errorf("%q was accepted, and then: %v", address, err)
		}
	})
}

func TestRemoteUser(t *testing.T) {
	for address, want := range map[string]string{
		"http://df:plain@a":          "df:plain",
		"http://df:p%40ss%3A%2F@a,b": "df:p%40ss%3A%2F",
		"http://df:50%off@a":         "df:50%25off",
		"http://a%20b:c@a":           "a%20b:c",
	} {
		nodes, err := parseRemote(address)
		if err != nil || nodes[0].User.String() != want {
			t.Errorf("%s: user %q, %v; want %q", address, nodes[0].User, err, want)
		}
	}
}
