package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"dragonfly/boot"
	"dragonfly/registry"
	"dragonfly/tinkerbell/cluster"
)

// config is what `dragonfly serve` runs with. A flag beats the environment
// (DRAGONFLY_ and the flag's name in capitals), which beats the YAML file (the
// flags' names as keys), which beats the defaults.
type config struct {
	Host           string        `koanf:"host"`
	Port           int           `koanf:"port"`
	PublicURL      string        `koanf:"public-url"`
	DataDir        string        `koanf:"data-dir"`
	ImageDir       string        `koanf:"image-dir"`
	Rqlite         string        `koanf:"rqlite"`
	RqliteCA       string        `koanf:"rqlite-ca"`
	RqliteCert     string        `koanf:"rqlite-cert"`
	RqliteKey      string        `koanf:"rqlite-key"`
	ClusterListen  string        `koanf:"cluster-listen"`
	ClusterAddress string        `koanf:"cluster-advertise"`
	Join           string        `koanf:"join"`
	Boot           bool          `koanf:"boot"`
	BootInterfaces []string      `koanf:"boot-interface"`
	IPXEROM        string        `koanf:"ipxe-rom"`
	HurryIPXE      bool          `koanf:"hurry-ipxe"`
	Tinkerbell     string        `koanf:"tinkerbell"`
	Kubeconfig     string        `koanf:"kubeconfig"`
	KubeContext    string        `koanf:"kube-context"`
	KubeNamespace  string        `koanf:"kube-namespace"`
	Engine         string        `koanf:"engine"`
	OSIE           string        `koanf:"osie"`
	DeployFetch    time.Duration `koanf:"deploy-fetch"`
	TinkListen     string        `koanf:"tink-listen"`
	DeployWait     time.Duration `koanf:"deploy-wait"`
	DeployVerify   time.Duration `koanf:"deploy-verify"`
	MaxMachines    int           `koanf:"max-machines"`
	LogLevel       string        `koanf:"log-level"`
	LogFormat      string        `koanf:"log-format"`

	TinkServer      string   `koanf:"tink-server"`
	TinkTLS         bool     `koanf:"tink-tls"`
	TinkInsecureTLS bool     `koanf:"tink-insecure-tls"`
	Smee            string   `koanf:"smee"`
	Hook            string   `koanf:"hook"`
	HookArgs        []string `koanf:"hook-args"`
	HookSyslog      string   `koanf:"hook-syslog"`

	OIDCIssuer           string `koanf:"oidc-issuer"`
	OIDCClientID         string `koanf:"oidc-client-id"`
	OIDCClientSecret     string `koanf:"oidc-client-secret"`
	OIDCClientSecretFile string `koanf:"oidc-client-secret-file"`
	OIDCGroupsClaim      string `koanf:"oidc-groups-claim"`
	OIDCRoleMap          string `koanf:"oidc-role-map"`
}

const (
	defaultDataDir    = "/var/lib/dragonfly"
	defaultConfigFile = "/etc/dragonfly/dragonfly.yaml"
	envPrefix         = "DRAGONFLY_"
)

// serveFlags are the flags of `dragonfly serve`; their names are the keys of the
// other sources too.
func serveFlags(flags *pflag.FlagSet) {
	flags.String("host", "0.0.0.0", "address to serve HTTP on")
	flags.Int("port", 3000, "TCP port to serve HTTP on")
	flags.String("public-url", "", "`URL` that operators open where a proxy with TLS stands before this server, such as https://lab.example")
	flags.String("data-dir", defaultDataDir, "where the database and the control socket are kept")
	flags.String("image-dir", "", "`folder` with the agent image that dragonfly image build made (default DATA-DIR/images)")
	flags.String("rqlite", "", "use this rqlite instead of starting one: host:4001 or https://user:pass@a:4001,b:4001 (also RQLITE_HOST)")
	flags.String("rqlite-ca", "", "PEM `file` of the certificates that vouch for an rqlite with https:// (default: the host's)")
	flags.String("rqlite-cert", "", "PEM `file` of the certificate to show to an rqlite that asks for one")
	flags.String("rqlite-key", "", "PEM `file` of the key of that certificate")
	clusterFlags(flags)
	flags.Bool("boot", false, "answer network boots: proxyDHCP on 67 and 4011, TFTP on 69")
	flags.StringSlice("boot-interface", nil, "interface to answer network boots on; may be repeated (default: every physical one with an IPv4 address)")
	flags.String("ipxe-rom", string(boot.UseROM), `what to do with an iPXE in a network card's ROM: "use" it, or "replace" it by ours first`)
	flags.Bool("hurry-ipxe", true, "tell an iPXE that waits for an IPv6 router that there is none, which saves four seconds; only the machine that boots hears it")
	flags.Duration("deploy-fetch", 6*time.Hour, "how long a deployment waits for its image to be fetched; 5m at least")
	flags.Duration("deploy-wait", 30*time.Minute, "how long a deployment waits for its machine to boot; 5m at least")
	flags.Duration("deploy-verify", 20*time.Minute, "how long a deployment waits for the first boot of what was installed; 5m at least")
	flags.Int("max-machines", 200_000, "how many machines there are at most: after that one that comes from the network and is not known gets no record; 0: no bound")
	tinkerbellFlags(flags)
	osieFlags(flags)
	tinkListenFlags(flags)
	oidcFlags(flags)
	flags.String("log-level", "info", "debug, info, warn or error")
	flags.String("log-format", "text", "text or json")
}

// loadConfig merges every source. path is the YAML file; the default one may be
// missing, one that was asked for may not.
func loadConfig(flags *pflag.FlagSet, path string, environ []string) (config, error) {
	k := koanf.New("\x00") // keys are flat
	known := map[string]any{}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "config" {
			known[f.Name] = nil
		}
	})
	if err := loadFile(k, path, known); err != nil {
		return config{}, err
	}
	if err := loadEnviron(k, environ, known); err != nil {
		return config{}, err
	}
	if err := k.Load(posflag.Provider(flags, "\x00", k), nil); err != nil {
		return config{}, fmt.Errorf("flags: %w", err)
	}
	var cfg config
	if err := k.Unmarshal("", &cfg); err != nil {
		return config{}, fmt.Errorf("configuration: %w", err)
	}
	if cfg.ImageDir == "" {
		cfg.ImageDir = cfg.DataDir + "/images"
	}
	return cfg, cfg.check()
}

func loadFile(k *koanf.Koanf, path string, known map[string]any) error {
	if path == "" {
		path = defaultConfigFile
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	values := koanf.New("\x00")
	if err := values.Load(file.Provider(path), yaml.Parser()); err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	for key := range values.Raw() {
		if _, ok := known[key]; !ok {
			return fmt.Errorf("configuration file %s: unknown key %q%s", path, key, suggest(key, known))
		}
	}
	return k.Load(confmap.Provider(values.Raw(), ""), nil)
}

// loadEnviron takes DRAGONFLY_DATA_DIR as data-dir, RQLITE_HOST as rqlite and KUBECONFIG
// as kubeconfig.
// DRAGONFLY_CONFIG names the file and was read before.
func loadEnviron(k *koanf.Koanf, environ []string, known map[string]any) error {
	var unknown error
	key := func(name, value string) (string, any) {
		if name == "RQLITE_HOST" {
			return "rqlite", value
		}
		if name == "KUBECONFIG" {
			return "kubeconfig", value
		}
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || rest == "CONFIG" || rest == "SERVER" || rest == "TOKEN" { // the last two are for the other commands
			return "", nil
		}
		key := strings.ReplaceAll(strings.ToLower(rest), "_", "-")
		if _, ok := known[key]; !ok {
			unknown = fmt.Errorf("environment: unknown variable %s%s", name, suggestEnv(key, known))
			return "", nil
		}
		if key == "boot-interface" || key == "hook-args" {
			return key, strings.Split(value, ",")
		}
		return key, value
	}
	slices.Sort(environ) // DRAGONFLY_RQLITE, where both are set, is read first; RQLITE_HOST wins, and KUBECONFIG as well
	provider := env.Provider("\x00", env.Opt{TransformFunc: key, EnvironFunc: func() []string { return environ }})
	if err := k.Load(provider, nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	return unknown
}

// check reports what cannot be served.
func (c config) check() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: want 0 to 65535", c.Port))
	}
	if _, err := parseServer(c.PublicURL); c.PublicURL != "" && err != nil {
		errs = append(errs, fmt.Errorf("public-url: %w", err))
	}
	for name, limit := range map[string]time.Duration{"deploy-fetch": c.DeployFetch, "deploy-wait": c.DeployWait, "deploy-verify": c.DeployVerify} {
		if limit < registry.DeadlineGrace || limit > 30*24*time.Hour {
			errs = append(errs, fmt.Errorf("%s %s: want at least 5m, and at most 720h", name, limit))
		}
	}
	if c.MaxMachines < 0 {
		errs = append(errs, fmt.Errorf("max-machines %d: want a number of machines, or 0 for no bound", c.MaxMachines))
	}
	if _, err := boot.ParseIPXEROM(c.IPXEROM); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.logger(nil); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.oidc(); err != nil {
		errs = append(errs, err)
	}
	if _, err := cluster.ParseMode(c.Tinkerbell); err != nil {
		errs = append(errs, err)
	}
	if _, err := registry.ParseEngine(c.Engine); err != nil {
		errs = append(errs, err)
	}
	if err := c.checkOSIE(); err != nil {
		errs = append(errs, err)
	}
	if err := checkTinkListen(c.TinkListen); err != nil {
		errs = append(errs, err)
	}
	if err := c.checkCluster(); err != nil {
		errs = append(errs, err)
	}
	if len(c.BootInterfaces) > 0 && !c.Boot {
		errs = append(errs, errors.New("boot-interface is set and boot is not: add --boot to answer network boots"))
	}
	return errors.Join(errs...)
}

// logger writes to w as the configuration says.
func (c config) logger(w *os.File) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("log-level %q: want debug, info, warn or error", c.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(withQuota(slog.NewTextHandler(w, options))), nil
	case "json":
		return slog.New(withQuota(slog.NewJSONHandler(w, options))), nil
	}
	return nil, fmt.Errorf("log-format %q: want text or json", c.LogFormat)
}
