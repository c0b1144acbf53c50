package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/danielgtaylor/huma/v2"
	"github.com/spf13/cobra"

	"dragonfly/boot"
	"dragonfly/boot/dhcp"
	"dragonfly/boot/ipxe"
	"dragonfly/registry"
	"dragonfly/ui"
)

// explanation is what a machine would be served now: the answer to
// GET /api/v1/explain/{mac}?arch=NAME.
type explanation struct {
	MAC     registry.MAC   `json:"mac"`
	Machine string         `json:"machine,omitempty"` // name; empty for an unknown one
	State   registry.State `json:"state,omitempty"`
	Boots   []exchange     `json:"boots"` // the firmware's DHCP exchange, then iPXE's
	Rule    string         `json:"rule"`  // which decided on the script
	Script  string         `json:"script"`
}

// exchange is one DHCP exchange.
type exchange struct {
	Client string       `json:"client"`
	Rule   string       `json:"rule"`
	Reply  []dhcp.Field `json:"reply,omitempty"`
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain MAC",
		Short: "What a machine would be served now, and which rule decides",
		Long: `Show what a machine would be served if it booted now: the DHCP replies field by
field, the boot program, the rendered script, and the rule that decided each.
Nothing is changed and nothing is logged as a boot.`,
		Args: exactly(1, "the machine's hardware address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			arch, _ := cmd.Flags().GetString("arch")
			var e explanation
			path := "/api/v1/explain/" + url.PathEscape(args[0]) + "?arch=" + url.QueryEscape(arch)
			if err := control(cmd).Get(cmd.Context(), path, &e); err != nil {
				return fmt.Errorf("explain %s: %w", args[0], err)
			}
			return printValue(cmd, e, e.print)
		},
	}
	cmd.Flags().String("arch", boot.UEFIX64.String(), "firmware: bios, uefi-x64, uefi-arm64, http-x64, http-arm64, ...")
	objectFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func (e explanation) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: ", e.MAC)
	if e.Machine == "" {
		fmt.Fprintln(w, "no machine has this address")
	} else {
		fmt.Fprintf(w, "%s, %s\n", e.Machine, e.State)
	}
	for _, x := range e.Boots {
		fmt.Fprintf(w, "\nDHCP answer to %s\n  rule: %s\n", x.Client, x.Rule)
		for _, f := range x.Reply {
			number := ""
			if f.Option > 0 {
				number = fmt.Sprint(f.Option)
			}
			fmt.Fprintf(w, "  %4s  %-24s %s\n", number, f.Name, f.Value)
		}
	}
	_, err := fmt.Fprintf(w, "\nScript\n  rule: %s\n\n%s", e.Rule, e.Script)
	return err
}

// mountExplain adds the route to the API. It is here because the answer is made of
// what this program is made of.
func (a *appliance) mountExplain() {
	huma.Register(a.api, huma.Operation{OperationID: "explain", Method: http.MethodGet, Path: "/api/v1/explain/{mac}",
		Summary: "What a machine would be served if it booted now, and which rule decides", Tags: []string{"machines"},
		Description: "The DHCP replies field by field, the boot program and the script. Nothing is changed, and nothing is logged as a boot.",
		Errors:      []int{422}}, a.explain)
}

type explainInput struct {
	MAC  string `path:"mac" maxLength:"64" doc:"the hardware address it boots from" example:"52:54:00:12:34:56"`
	Arch string `query:"arch" maxLength:"40" default:"uefi-x64" doc:"its firmware: bios, uefi-x64, uefi-arm64, http-x64, http-arm64, ..."`
}

type explainOutput struct{ Body *explanation }

// explain answers without a side effect.
func (a *appliance) explain(ctx context.Context, in *explainInput) (*explainOutput, error) {
	mac, err := registry.ParseMAC(in.MAC)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity("the address cannot be read", &huma.ErrorDetail{Location: "path.mac", Message: err.Error()})
	}
	arch, err := boot.ParseArch(in.Arch)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity("the firmware is not known", &huma.ErrorDetail{Location: "query.arch", Message: err.Error()})
	}
	e, err := a.explanation(ctx, mac, arch)
	if err != nil {
		a.log.Error("explain", "mac", mac, "err", err)
		return nil, huma.Error500InternalServerError("the script could not be rendered; the log says why")
	}
	return &explainOutput{e}, nil
}

func (a *appliance) explanation(ctx context.Context, mac registry.MAC, arch boot.Arch) (*explanation, error) {
	script := a.preview(ctx, mac, arch)
	text, err := script.Render()
	e := &explanation{MAC: mac, Machine: script.Name, Rule: script.Plan.Rule, Script: string(text)}
	if entry, known := a.registry.Lookup(mac); known {
		e.State = entry.State
	}
	for _, kind := range []boot.Kind{arch.Firmware(), boot.IPXE} {
		e.Boots = append(e.Boots, a.exchange(boot.Client{MAC: mac, Arch: arch, Kind: kind, IPXE: boot.HTTP, Broadcast: kind == boot.IPXE}))
	}
	return e, err
}

// explainToPeople explains what a machine would be served, by the firmware that it has.
func (a *appliance) explainToPeople(ctx context.Context, m registry.Machine) (ui.Explanation, error) {
	if len(m.MACs) == 0 {
		return ui.Explanation{}, errors.New("no hardware address of this machine is known, so it could not be told from others")
	}
	e, err := a.explanation(ctx, m.BootMAC(), archOf(m.Hardware))
	if err != nil {
		return ui.Explanation{}, err
	}
	x := ui.Explanation{Rule: e.Rule, Script: e.Script}
	for _, b := range e.Boots {
		served := ui.Served{Client: b.Client, Rule: b.Rule}
		for _, f := range b.Reply {
			served.Fields = append(served.Fields, [2]string{f.Name, f.Value})
		}
		x.DHCP = append(x.DHCP, served)
	}
	return x, nil
}

// archOf is how a machine's firmware would call itself.
func archOf(h registry.Hardware) boot.Arch {
	switch {
	case h.Firmware.Mode == "bios":
		return boot.BIOS
	case h.CPU.Arch == "arm64":
		return boot.UEFIARM64
	}
	return boot.UEFIX64
}

// shownToken stands in a previewed script where a machine gets a boot token.
const shownToken = "A-FRESH-BOOT-TOKEN"

// preview is the script that the handler of /boot/ would write, without its token
// and without the sighting.
func (a *appliance) preview(ctx context.Context, mac registry.MAC, arch boot.Arch) ipxe.Script {
	files, self := a.bootFiles(), a.self()
	files.Token, files.Stats = func(registry.MAC) string { return shownToken }, nil
	return files.Complete(ctx, ipxe.Script{MAC: mac, Arch: arch,
		Base: "http://" + netip.AddrPortFrom(self.Addr, self.HTTPPort).String()}, false)
}

func (a *appliance) exchange(c boot.Client) exchange {
	offer := boot.Decide(c, a.policy())
	x := exchange{Client: c.Kind.String() + ", " + c.Arch.String(), Rule: offer.Rule}
	switch {
	case len(a.ports.boot) == 0:
		x.Rule += " (but the appliance runs without --boot: nothing is answered)"
	case offer.Serve != boot.Nothing:
		req := dhcp.Request{Message: dhcp.Discover, Client: c}
		x.Reply = dhcp.Describe(dhcp.Reply(make([]byte, 0, dhcp.MaxReply), &req, offer, a.self()))
	}
	return x
}

// self is how machines on the first boot interface reach us.
func (a *appliance) self() dhcp.Self {
	self := dhcp.Self{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HTTPPort: a.ports.httpPort()}
	if len(a.ports.boot) > 0 {
		self.Addr = a.ports.boot[0].on.Addr
	}
	return self
}
