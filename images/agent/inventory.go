package agent

import (
	"io/fs"
	"path"
	"runtime"
	"strconv"
	"strings"

	"dragonfly/registry"
)

// Inventory is what sysfs, procfs and SMBIOS below root tell of the machine. It
// changes nothing and never fails: what cannot be read is left out. The BMC and
// the operating systems on the disks are not in it; see [Config].
func Inventory(root fs.FS) registry.Hardware {
	t := tree{root}
	return registry.Hardware{
		System:   system(t),
		Firmware: firmware(t),
		CPU:      cpu(t),
		Memory:   memory(t),
		Disks:    disks(t),
		NICs:     nics(t),
	}
}

// dmi is the kernel's reading of the SMBIOS strings.
const dmi = "sys/class/dmi/id"

func system(t tree) registry.System {
	return registry.System{
		Vendor:         t.text(dmi, "sys_vendor"),
		Product:        t.text(dmi, "product_name"),
		Serial:         t.text(dmi, "product_serial"),
		UUID:           strings.ToLower(t.text(dmi, "product_uuid")),
		Virtualisation: virtualisation(t),
	}
}

// virtualisation names the hypervisor. The processor only says that there is
// one; its clock tells KVM, Xen and Hyper-V apart without the CPUID instruction,
// and SMBIOS tells the rest.
func virtualisation(t tree) string {
	const clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource"
	clock := t.text(clocks)
	maker := strings.ToLower(t.text(dmi, "sys_vendor") + " " + t.text(dmi, "bios_vendor") + " " + t.text(dmi, "chassis_vendor"))
	switch {
	case strings.Contains(clock, "kvm"):
		return "kvm"
	case strings.Contains(clock, "hyperv"):
		return "hyperv"
	case strings.Contains(clock, "xen"), t.text("sys/hypervisor/type") == "xen":
		return "xen"
	case strings.Contains(maker, "vmware"):
		return "vmware"
	case strings.Contains(maker, "qemu"):
		return "qemu"
	case strings.Contains(string(t.bytes("proc/cpuinfo")), " hypervisor"):
		return "other"
	}
	return ""
}

// secureBoot is the EFI variable (UEFI 3.3, global variable GUID): four bytes of
// attributes, then one of value.
const secureBoot = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

func firmware(t tree) registry.Firmware {
	f := registry.Firmware{
		Mode:    "bios",
		Vendor:  t.text(dmi, "bios_vendor"),
		Version: t.text(dmi, "bios_version"),
		Date:    t.text(dmi, "bios_date"),
	}
	if t.exists("sys/firmware/efi") {
		f.Mode = "uefi"
	}
	if v := t.bytes(secureBoot); len(v) == 5 {
		f.SecureBoot = "disabled"
		if v[4] == 1 {
			f.SecureBoot = "enabled"
		}
	}
	for _, tpm := range t.names("sys/class/tpm") {
		f.TPM = "1.2"
		if t.number("sys/class/tpm", tpm, "tpm_version_major") == 2 {
			f.TPM = "2.0"
		}
	}
	return f
}

// cpu counts by topology, which every architecture has, and takes the names from
// /proc/cpuinfo.
func cpu(t tree) registry.CPU {
	c := registry.CPU{Arch: runtime.GOARCH}
	sockets, cores := map[string]bool{}, map[string]bool{}
	for _, name := range t.names("sys/devices/system/cpu") {
		n, ok := strings.CutPrefix(name, "cpu")
		if _, err := strconv.Atoi(n); !ok || err != nil {
			continue
		}
		topology := path.Join("sys/devices/system/cpu", name, "topology")
		socket := t.text(topology, "physical_package_id")
		if socket == "" { // the processor is offline
			continue
		}
		c.Threads++
		sockets[socket] = true
		cores[socket+"/"+t.text(topology, "die_id")+"/"+t.text(topology, "core_id")] = true
	}
	c.Sockets, c.Cores = len(sockets), len(cores)
	c.Vendor, c.Model = cpuNames(string(t.bytes("proc/cpuinfo")))
	return c
}

// cpuNames reads the names of the first processor.
func cpuNames(cpuinfo string) (vendor, model string) {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "vendor_id":
			vendor = clean(value)
		case "model name":
			return vendor, clean(value)
		}
	}
	return vendor, ""
}
