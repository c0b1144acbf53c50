package agent

import (
	"path"
	"regexp"
	"strings"

	"dragonfly/registry"
)

// nics are the network ports that belong to a device, then the PCI network
// functions that no driver has taken.
func nics(t tree) []registry.NIC {
	var found []registry.NIC
	for _, name := range t.names("sys/class/net") {
		dir := path.Join("sys/class/net", name)
		if !t.exists(dir, "device") { // loopback, bridges, tunnels
			continue
		}
		mac, err := registry.ParseMAC(t.text(dir, "address"))
		if err != nil { // InfiniBand has 20 bytes, and no place on our wire
			continue
		}
		nic := registry.NIC{Name: clean(name), MAC: mac, Driver: t.base(dir, "device/driver"), Link: t.text(dir, "carrier") == "1"}
		// A virtual port says -1, and one that is down refuses to be read.
		nic.SpeedMbit = int(max(0, t.number(dir, "speed")))
		nic.PCI = lastPCI(t.link(dir))
		if nic.PCI != "" {
			nic.PCIID = pciID(t, nic.PCI)
			// A virtio port's device is the virtio function on the PCI function.
			if nic.Driver == "" {
				nic.Driver = t.base(pciDevices, nic.PCI, "driver")
			}
		}
		found = append(found, nic)
	}
	return append(found, driverless(t)...)
}

// pciDevices has a folder for every PCI function.
const pciDevices = "sys/bus/pci/devices"

// driverless are the PCI functions of the network class (0x02) that nobody
// drives: what is missing in the image.
func driverless(t tree) []registry.NIC {
	var found []registry.NIC
	for _, addr := range t.names(pciDevices) {
		class := t.hex4(pciDevices, addr, "class")
		if strings.HasPrefix(class, "02") && len(class) == 6 && !t.exists(pciDevices, addr, "driver") {
			found = append(found, registry.NIC{PCI: clean(addr), PCIID: pciID(t, addr)})
		}
	}
	return found
}

// pciID is "vendor:device" in hexadecimal.
func pciID(t tree, addr string) string {
	vendor, device := t.hex4(pciDevices, addr, "vendor"), t.hex4(pciDevices, addr, "device")
	if vendor == "" || device == "" {
		return ""
	}
	return vendor + ":" + device
}

// lastPCI is the last PCI address in a device's path: the function itself, below
// its bridges. Domains behind a VMD controller have more than four digits.
func lastPCI(devpath string) string {
	address := regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	found := ""
	for elem := range strings.SplitSeq(devpath, "/") {
		if address.MatchString(elem) {
			found = elem
		}
	}
	return found
}
