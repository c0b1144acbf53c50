package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"dragonfly/registry"
)

// load merges flags, a file and an environment.
func load(t *testing.T, args []string, file string, environ ...string) (config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	serveFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dragonfly.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig(flags, path, environ)
}

func TestConfigPrecedence(t *testing.T) {
	file := "port: 1\ndata-dir: /file\nboot: true\nboot-interface: [eth7]\n"
	tests := []struct {
		name    string
		args    []string
		environ []string
		want    func(config) bool
	}{
		{"defaults", nil, nil, func(c config) bool { return c.Host == "0.0.0.0" && c.LogLevel == "info" && c.HurryIPXE }},
		{"iPXE may wait", []string{"--hurry-ipxe=false"}, nil, func(c config) bool { return !c.HurryIPXE }},
		{"the file beats the defaults", nil, nil, func(c config) bool { return c.Port == 1 && c.Boot && c.BootInterfaces[0] == "eth7" }},
		{"the environment beats the file", nil, []string{"DRAGONFLY_PORT=2"}, func(c config) bool { return c.Port == 2 && c.DataDir == "/file" }},
		{"a flag beats the environment", []string{"--port", "3"}, []string{"DRAGONFLY_PORT=2"}, func(c config) bool { return c.Port == 3 }},
		{"a flag that says the default", []string{"--port", "3000"}, []string{"DRAGONFLY_PORT=2"}, func(c config) bool { return c.Port == 3000 }},
		{"a list in the environment", nil, []string{"DRAGONFLY_BOOT_INTERFACE=eth0,eth1"}, func(c config) bool { return len(c.BootInterfaces) == 2 && c.BootInterfaces[1] == "eth1" }},
		{"RQLITE_HOST", nil, []string{"RQLITE_HOST=db:4001"}, func(c config) bool { return c.Rqlite == "db:4001" }},
		{"Tinkerbell by its own DHCP", []string{"--engine", "tinkerbell"}, nil, func(c config) bool { return c.osie().OSIE == registry.OSIEAgent }},
		{"HookOS", []string{"--osie", "hook", "--tink-server", "10.0.0.3:42113"}, []string{"DRAGONFLY_HOOK_ARGS=console=ttyS1,quiet"},
			func(c config) bool {
				return c.osie().OSIE == registry.OSIEHook && len(c.osie().Arguments) == 2 && c.osie().Server == "10.0.0.3:42113"
			}},
		{"images below the data", nil, nil, func(c config) bool { return c.ImageDir == "/file/images" }},
		{"others' variables", nil, []string{"HOME=/root", "DRAGON=1", "DRAGONFLY_CONFIG=x"}, func(c config) bool { return c.Port == 1 }},
	}
	for _, tt := range tests {
		cfg, err := load(t, tt.args, file, tt.environ...)
		if err != nil || !tt.want(cfg) {
			t.Errorf("%s: %+v, %v", tt.name, cfg, err)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		name, file string
		args       []string
		environ    []string
		says       string
	}{
		{"unknown key", "portt: 80\n", nil, nil, `unknown key "portt"; did you mean port?`},
		{"key far from any", "zzzzzzzzzzzzzzzz: 1\n", nil, nil, "known are boot, boot-interface"},
		{"unknown variable", "", nil, []string{"DRAGONFLY_DATA_DIRR=/x"}, "did you mean DRAGONFLY_DATA_DIR?"},
		{"not YAML", "{{{", nil, nil, "dragonfly.yaml"},
		{"port", "", []string{"--port", "70000"}, nil, "port 70000: want 0 to 65535"},
		{"word for a number", "port: many\n", nil, nil, "port"},
		{"log level", "", []string{"--log-level", "loud"}, nil, "want debug, info, warn or error"},
		{"log format", "log-format: xml\n", nil, nil, "want text or json"},
		{"policy", "ipxe-rom: burn\n", nil, nil, "burn"},
		{"interface without boot", "", []string{"--boot-interface", "eth0"}, nil, "add --boot"},
		{"no such way to Tinkerbell", "osie: talos\n", nil, nil, "want one of agent, hook, smee"},
		{"a way to Tinkerbell without where", "", []string{"--osie", "smee"}, nil, "nobody said where Smee is"},
		{"Tink server without a port", "", []string{"--tink-server", "10.0.0.3"}, nil, "want host:port, as in 10.0.0.3:42113"},
		{"TLS to nobody", "", []string{"--tink-tls"}, nil, "nobody said where Tink server is"},
		{"public URL", "public-url: lab.example\n", nil, nil, `public-url: server "lab.example": want a URL such as http://`},
	}
	for _, tt := range tests {
		_, err := load(t, tt.args, tt.file, tt.environ...)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.says)
		}
	}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	serveFlags(flags)
	if _, err := loadConfig(flags, filepath.Join(t.TempDir(), "missing.yaml"), nil); err == nil {
		t.Error("a file that was asked for and is missing was passed over")
	}
}

func TestTakenPortNamesTheProcess(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	_, err = listenTCP("127.0.0.1", port)
	self, _ := os.ReadFile("/proc/self/comm")
	if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(string(self))+" (pid ") {
		t.Errorf("got %v, want it to name this very process", err)
	}
}

func TestAddressOfAnotherHost(t *testing.T) {
	_, err := listenTCP("203.0.113.7", 0) // TEST-NET-3 is nobody's
	if err == nil || !strings.Contains(err.Error(), "no interface of this host has that address") {
		t.Errorf("%v; want it to say what to look at", err)
	}
}

func TestControlSocket(t *testing.T) {
	dir := t.TempDir()
	l, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(filepath.Join(dir, socketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; it is open to everybody but root", info.Mode(), err)
	}
	if _, err := listenControl(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second appliance on one directory: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a crash leaves it
	l.Close()
	again, err := listenControl(dir)
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	again.Close()
}
