package agent

import (
	"strings"
	"testing"

	"dragonfly/images/tink"
	"dragonfly/registry"
)

func TestParseCmdline(t *testing.T) {
	mac := registry.MAC{0x52, 0x54, 0, 0x77, 0, 1}
	for name, test := range map[string]struct {
		line string
		want Boot
		err  string
	}{
		"all": {
			"quiet dragonfly.url=http://10.0.0.2:3000/ dragonfly.token=abc.def== BOOTIF=01-52-54-00-77-00-01\n",
			Boot{URL: "http://10.0.0.2:3000", Token: "abc.def==", MAC: mac}, "",
		},
		"dragonfly.mac wins": {
			"dragonfly.mac=52:54:00:77:00:01 dragonfly.url=https://df BOOTIF=01-00-00-00-00-00-02",
			Boot{URL: "https://df", MAC: mac}, "",
		},
		"a worker of Tinkerbell": {
			"facility= syslog_host= grpc_authority=10.0.0.3:42113 tinkerbell_tls=false tinkerbell_insecure_tls=false worker_id=w-1 hw_addr=52:54:00:77:00:01 modules=loop",
			Boot{MAC: mac, Tink: tink.Server{Authority: "10.0.0.3:42113"}, Worker: "w-1"}, "",
		},
		"a worker that Dragonfly booted": {
			"dragonfly.url=http://df dragonfly.token=t BOOTIF=01-52-54-00-77-00-01 grpc_authority=tink.example:443 tinkerbell_tls=true tinkerbell_insecure_tls=1",
			Boot{URL: "http://df", Token: "t", MAC: mac, Tink: tink.Server{Authority: "tink.example:443", TLS: true, Insecure: true}, Worker: "52:54:00:77:00:01"}, "",
		},
		"a worker without an ID": {"grpc_authority=10.0.0.3:42113", Boot{Tink: tink.Server{Authority: "10.0.0.3:42113"}}, "worker_id is missing"},
		"a worker of nobody":     {"grpc_authority=10.0.0.3 worker_id=w", Boot{Tink: tink.Server{Authority: "10.0.0.3"}}, "want host:port"},
		"TLS or not": {"grpc_authority=10.0.0.3:1 worker_id=w tinkerbell_tls=maybe", Boot{Tink: tink.Server{Authority: "10.0.0.3:1"}, Worker: "w"},
			"want true or false"},
		"no address":   {"dragonfly.url=http://df:3000", Boot{URL: "http://df:3000"}, ""},
		"no server":    {"console=ttyS0", Boot{}, "dragonfly.url is missing"},
		"odd server":   {"dragonfly.url=ftp://df", Boot{URL: "ftp://df"}, "want http://host:port"},
		"bad address":  {"dragonfly.url=http://df BOOTIF=01-zz", Boot{URL: "http://df"}, "hardware address"},
		"wrong prefix": {"dragonfly.url=http://df BOOTIF=20-52-54-00-77-00-01", Boot{URL: "http://df"}, "hardware address"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCmdline(test.line)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func FuzzParseCmdline(f *testing.F) {
	f.Add("dragonfly.url=http://10.0.0.2:3000 dragonfly.token=t BOOTIF=01-52-54-00-77-00-01")
	f.Add("grpc_authority=10.0.0.3:42113 tinkerbell_tls=false worker_id=52:54:00:77:00:01")
	f.Fuzz(func(t *testing.T, line string) {
		if b, err := ParseCmdline(line); err == nil && b.URL == "" && (b.Tink.Authority == "" || b.Worker == "") {
			t.Errorf("%q: no server and no error", line)
		}
	})
}
