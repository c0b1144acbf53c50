package agent

import (
	"encoding/json"
	"os"
	"path"
	"testing"
	"testing/fstest"

	"dragonfly/registry"
)

// golden compares got with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := path.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is not what it was (UPDATE=1 to accept):\n%s", name, got)
	}
}

func TestInventoryOfRecordedMachines(t *testing.T) {
	for _, machine := range []string{"vm", "server"} {
		t.Run(machine, func(t *testing.T) {
			hw := Inventory(recorded(t, machine+".tree"))
			hw.CPU.Arch = "amd64" // not read, but known to the agent: it is its own
			got, err := json.MarshalIndent(hw, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, machine+".json", append(got, '\n'))
		})
	}
}

func TestInventoryOfNothing(t *testing.T) {
	hw := Inventory(fstest.MapFS{})
	if len(hw.Disks)+len(hw.NICs)+len(hw.Memory.DIMMs) != 0 || hw.System != (registry.System{}) || hw.CPU.Threads != 0 {
		t.Errorf("found hardware in an empty tree: %+v", hw)
	}
}

func TestFirmware(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for name, test := range map[string]struct {
		tree fstest.MapFS
		want registry.Firmware
	}{
		"bios":            {fstest.MapFS{}, registry.Firmware{Mode: "bios"}},
		"uefi without":    {fstest.MapFS{"sys/firmware/efi/runtime": file("")}, registry.Firmware{Mode: "uefi"}},
		"secure boot on":  {fstest.MapFS{secureBoot: file("\x06\x00\x00\x00\x01")}, registry.Firmware{Mode: "uefi", SecureBoot: "enabled"}},
		"secure boot off": {fstest.MapFS{secureBoot: file("\x06\x00\x00\x00\x00")}, registry.Firmware{Mode: "uefi", SecureBoot: "disabled"}},
		"truncated":       {fstest.MapFS{secureBoot: file("\x06\x00")}, registry.Firmware{Mode: "uefi"}},
		"tpm 2.0":         {fstest.MapFS{"sys/class/tpm/tpm0/tpm_version_major": file("2\n")}, registry.Firmware{Mode: "bios", TPM: "2.0"}},
		"tpm 1.2":         {fstest.MapFS{"sys/class/tpm/tpm0/tpm_version_major": file("1\n")}, registry.Firmware{Mode: "bios", TPM: "1.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := firmware(tree{test.tree}); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestVirtualisation(t *testing.T) {
	const clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource"
	for want, files := range map[string]map[string]string{
		"":       {dmi + "/sys_vendor": "Dell Inc.\n", "proc/cpuinfo": "flags\t: fpu lm\n", clocks: "tsc hpet acpi_pm \n"},
		"kvm":    {dmi + "/sys_vendor": "QEMU\n", clocks: "kvm-clock tsc hpet\n"},
		"qemu":   {dmi + "/sys_vendor": "Acme\n", dmi + "/chassis_vendor": "QEMU\n", clocks: "tsc hpet\n"},
		"hyperv": {dmi + "/sys_vendor": "Microsoft Corporation\n", clocks: "hyperv_clocksource_tsc_page acpi_pm\n"},
		"xen":    {"sys/hypervisor/type": "xen\n"},
		"vmware": {dmi + "/sys_vendor": "VMware, Inc.\n", "proc/cpuinfo": "flags\t: fpu hypervisor\n"},
		"other":  {dmi + "/sys_vendor": "Acme\n", "proc/cpuinfo": "flags\t: fpu hypervisor\n"},
	} {
		root := fstest.MapFS{}
		for name, content := range files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if got := virtualisation(tree{root}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzDIMMs(f *testing.F) {
	f.Add([]byte("_SM3_"), []byte{17, 40, 0, 0})
	tables := "sys/firmware/dmi/tables/"
	vm := recorded(f, "vm.tree")
	f.Add(vm[tables+"smbios_entry_point"].Data, vm[tables+"DMI"].Data)
	f.Fuzz(func(t *testing.T, entry, table []byte) {
		for _, d := range dimms(entry, table) {
			if len(d.Slot) > maxText || d.Bytes < 0 {
				t.Errorf("%+v", d)
			}
		}
	})
}

func TestBMC(t *testing.T) {
	address, mac := bmcLAN([]byte{0, 0x11, 10, 0, 0, 9}, []byte{0, 0x11, 0x3c, 0xec, 0xef, 1, 2, 3})
	if address.String() != "10.0.0.9" || mac.String() != "3c:ec:ef:01:02:03" {
		t.Errorf("got %v %v", address, mac)
	}
	if address, mac = bmcLAN([]byte{0, 0x11, 0, 0, 0, 0}, nil); address.IsValid() || mac.Unicast() {
		t.Errorf("an unset address is %v %v", address, mac)
	}
	if got := bmcVersion(0x81, 0x73); got != "1.73" {
		t.Errorf("version %q", got)
	}
}
