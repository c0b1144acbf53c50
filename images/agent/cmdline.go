package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"dragonfly/images/tink"
	"dragonfly/registry"
)

// Boot is what the boot script told the agent on the kernel command line.
type Boot struct {
	URL   string       // the server, such as http://10.0.0.2:3000; empty for a worker of Tinkerbell that no Dragonfly booted
	Token string       // the boot token, bound to MAC
	MAC   registry.MAC // the address the machine booted from; zero when not told

	Tink   tink.Server // Tink server, whose worker this boot is; zero: it is not
	Worker string      // the ID that Tink server knows this machine by
}

// ParseCmdline reads a kernel command line (/proc/cmdline): dragonfly.url=,
// dragonfly.token=, and the boot address as dragonfly.mac=aa:bb:.., as
// BOOTIF=01-aa-bb-.. the way pxelinux writes it, with the hardware type in front, or
// as hw_addr=. What makes this boot a worker of Tinkerbell is called as HookOS calls
// it: grpc_authority=host:port, tinkerbell_tls=, tinkerbell_insecure_tls=, worker_id=,
// which is the boot address where it is left out. Parameters of others are ignored;
// the last of several wins.
func ParseCmdline(line string) (Boot, error) {
	said := map[string]string{}
	for word := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(word, "=")
		said[key] = value
	}
	b := Boot{URL: strings.TrimSuffix(said["dragonfly.url"], "/"), Token: said["dragonfly.token"]}
	var err error
	if mac := cmp.Or(said["dragonfly.mac"], strings.TrimPrefix(said["BOOTIF"], "01-"), said["hw_addr"]); mac != "" {
		if b.MAC, err = registry.ParseMAC(mac); err != nil {
			return b, fmt.Errorf("kernel command line: %w", err)
		}
	}
	if b.Tink.Authority = said["grpc_authority"]; b.Tink.Authority != "" {
		if err := b.work(said); err != nil {
			return b, fmt.Errorf("kernel command line: %w", err)
		}
		if b.URL == "" {
			return b, nil
		}
	}
	return b, b.check()
}

// work takes what makes this boot a worker of Tinkerbell.
func (b *Boot) work(said map[string]string) (err error) {
	if host, port, err := net.SplitHostPort(b.Tink.Authority); err != nil || host == "" || port == "" {
		return fmt.Errorf("grpc_authority=%.80q: want host:port", b.Tink.Authority)
	}
	if b.Worker = said["worker_id"]; b.Worker == "" && b.MAC != (registry.MAC{}) {
		b.Worker = b.MAC.String()
	}
	if b.Worker == "" {
		return errors.New("worker_id is missing: Tink server knows its workers by it")
	}
	if b.Tink.TLS, err = boolean(said, "tinkerbell_tls"); err != nil {
		return err
	}
	b.Tink.Insecure, err = boolean(said, "tinkerbell_insecure_tls")
	return err
}

// boolean is a parameter that is false where nothing is said.
func boolean(said map[string]string, key string) (bool, error) {
	if said[key] == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(said[key])
	if err != nil {
		return false, fmt.Errorf("%s=%.80q: want true or false", key, said[key])
	}
	return b, nil
}

func (b Boot) check() error {
	if b.URL == "" {
		return errors.New("kernel command line: dragonfly.url is missing; boot this machine through Dragonfly")
	}
	u, err := url.Parse(b.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("kernel command line: dragonfly.url=%.80q: want http://host:port", b.URL)
	}
	return nil
}
