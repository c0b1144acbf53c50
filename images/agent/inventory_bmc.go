package agent

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/u-root/u-root/pkg/ipmi"

	"dragonfly/registry"
)

// LAN configuration parameters (IPMI 2.0 table 23-4).
const (
	lanAddress = 3
	lanMAC     = 5
)

// lanChannels are the channels a LAN is on with the makers we know; 1 nearly
// always, 8 on some HPE and Supermicro.
var lanChannels = [...]byte{1, 2, 3, 8}

// bmc asks the management controller through /dev/ipmi0, where there is one.
func (h *host) bmc(ctx context.Context) *registry.BMC {
	if !h.hasIPMI() {
		return nil
	}
	// No device asks for the module of the character device.
	h.need("ipmi_devintf")
	dev, err := ipmi.Open(0)
	if err != nil {
		h.log.Warn("management controller", "err", err)
		return nil
	}
	defer dev.Close()
	found := &registry.BMC{}
	if id, err := dev.GetDeviceID(); err == nil {
		found.Version = bmcVersion(id.FwRev1, id.FwRev2)
	}
	for _, channel := range lanChannels {
		if ctx.Err() != nil {
			break
		}
		address, errAddress := dev.GetLanConfig(channel, lanAddress)
		mac, errMAC := dev.GetLanConfig(channel, lanMAC)
		if errAddress != nil || errMAC != nil {
			continue
		}
		if found.Address, found.MAC = bmcLAN(address, mac); found.MAC.Unicast() {
			break
		}
	}
	return found
}

// hasIPMI reports whether the driver of a system interface found a controller.
func (h *host) hasIPMI() bool {
	for _, bus := range []string{"platform", "pci"} {
		for _, name := range h.root.names("sys/bus", bus, "drivers/ipmi_si") {
			if strings.ContainsAny(name, ":.") || strings.HasPrefix(name, "dmi-ipmi") {
				return true
			}
		}
	}
	return h.root.exists("dev/ipmi0")
}

// bmcVersion is the firmware revision (IPMI 2.0 table 20-2): a 7-bit major
// number, and a minor number in BCD.
func bmcVersion(major, minor byte) string {
	return fmt.Sprintf("%d.%02x", major&0x7f, minor)
}

// bmcLAN reads the answers of Get LAN Configuration Parameters: completion code
// and revision, then the data.
func bmcLAN(address, mac []byte) (netip.Addr, registry.MAC) {
	var (
		ip netip.Addr
		hw registry.MAC
	)
	if len(address) >= 6 {
		ip, _ = netip.AddrFromSlice(address[2:6])
	}
	if ip.IsUnspecified() {
		ip = netip.Addr{}
	}
	if len(mac) >= 8 {
		copy(hw[:], mac[2:8])
	}
	return ip, hw
}
