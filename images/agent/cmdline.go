package agent

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"dragonfly/registry"
)

// Boot is what the boot script told the agent on the kernel command line.
type Boot struct {
	URL   string       // the server, such as http://10.0.0.2:3000
	Token string       // the boot token, bound to MAC
	MAC   registry.MAC // the address the machine booted from; zero when not told
}

// ParseCmdline reads a kernel command line (/proc/cmdline): dragonfly.url=,
// dragonfly.token=, and the boot address as dragonfly.mac=aa:bb:.. or as
// BOOTIF=01-aa-bb-.. the way pxelinux writes it, with the hardware type in
// front. Parameters of others are ignored; the last of several wins.
func ParseCmdline(line string) (Boot, error) {
	var b Boot
	var bootif, mac string
	for word := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "dragonfly.url":
			b.URL = strings.TrimSuffix(value, "/")
		case "dragonfly.token":
			b.Token = value
		case "dragonfly.mac":
			mac = value
		case "BOOTIF":
			bootif = strings.TrimPrefix(value, "01-")
		}
	}
	if mac == "" {
		mac = bootif
	}
	if mac != "" {
		var err error
		if b.MAC, err = registry.ParseMAC(mac); err != nil {
			return b, fmt.Errorf("kernel command line: %w", err)
		}
	}
	return b, b.check()
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
