package main

import (
	"strings"

	"github.com/spf13/pflag"

	"dragonfly/boot/ipxe"
	"dragonfly/registry"
)

// osieFlags say how a machine that Tinkerbell has work for gets there.
func osieFlags(flags *pflag.FlagSet) {
	flags.String("osie", string(registry.OSIEAgent), "what a machine boots that Tinkerbell has work for: agent, which is the agent image as Tinkerbell's worker; hook, which is HookOS or CaptainOS; or smee, which goes on with the script of Tinkerbell's Smee")
	flags.String("tink-server", "", "`host:port` of Tink server, where such a machine asks for work, such as 10.0.0.3:42113")
	flags.Bool("tink-tls", false, "Tink server speaks TLS")
	flags.Bool("tink-insecure-tls", false, "the certificate of Tink server is not checked")
	flags.String("smee", "", "`URL` of Tinkerbell's Smee, such as http://10.0.0.3:7080, for --osie smee")
	flags.String("hook", "", "`URL` of a folder with vmlinuz-ARCH and initramfs-ARCH, ARCH being x86_64 or aarch64, for --osie hook (default: the folder hook of --image-dir, served from here)")
	flags.StringSlice("hook-args", nil, "further kernel `argument` for --osie hook; may be repeated")
	flags.String("hook-syslog", "", "`host` that HookOS sends its log to (default: that of --tink-server)")
}

// osie is what the flags say.
func (c config) osie() ipxe.Tinkerbell {
	return ipxe.Tinkerbell{OSIE: registry.OSIE(c.OSIE), Server: c.TinkServer, TLS: c.TinkTLS, InsecureTLS: c.TinkInsecureTLS,
		Smee: c.Smee, HookURL: c.Hook, Arguments: c.HookArgs, Syslog: c.HookSyslog}
}

// checkOSIE errs where machines could not be booted so. Without any of the flags a
// machine may still get to Tinkerbell by Tinkerbell's own DHCP.
func (c config) checkOSIE() error {
	if _, err := registry.ParseOSIE(c.OSIE); err != nil {
		return err
	}
	said := c.TinkServer + c.Smee + c.Hook + c.HookSyslog + strings.Join(c.HookArgs, "")
	if said == "" && !c.TinkTLS && !c.TinkInsecureTLS && registry.OSIE(c.OSIE) == registry.OSIEAgent {
		return nil
	}
	return c.osie().Check()
}
