package agent

import (
	"path"
	"strings"

	"dragonfly/images/agent/action"
	"dragonfly/registry"
)

// disks are the whole block devices an operating system could be on, in the
// kernel's order of names.
func disks(t tree) []registry.Disk {
	var found []registry.Disk
	for _, name := range t.names("sys/block") {
		if isDisk(t, name) {
			found = append(found, disk(t, name))
		}
	}
	return found
}

// isDisk leaves out what is not a disk, is made of disks, or has no medium.
func isDisk(t tree, name string) bool {
	// The members of an NVMe multipath namespace (nvme0c0n1) are hidden.
	return action.IsDisk(name) && t.number("sys/block", name, "size") > 0 && t.text("sys/block", name, "hidden") != "1"
}

// sector is the unit of /sys/block/X/size, whatever the disk's own is.
const sector = 512

func disk(t tree, name string) registry.Disk {
	dir := path.Join("sys/block", name)
	id := identify(t, name)
	d := registry.Disk{
		Name:       clean(name),
		Model:      id.Model,
		Serial:     id.Serial,
		WWN:        id.WWN,
		Bytes:      t.number(dir, "size") * sector,
		Rotational: t.text(dir, "queue/rotational") == "1",
		Removable:  t.text(dir, "removable") == "1",
		Transport:  id.Transport,
	}
	// No disk of virtio turns, but the kernel cannot know and says that it does.
	if d.Transport == "virtio" {
		d.Rotational = false
	}
	if names := id.Links(); len(names) > 0 {
		d.ByID = "/dev/disk/by-id/" + names[0]
	}
	return d
}

// identify finds out what a disk calls itself, by the way it is attached.
func identify(t tree, name string) diskID {
	dir := path.Join("sys/block", name)
	devpath := t.link(dir)
	switch {
	case strings.HasPrefix(name, "nvme"):
		return nvmeID(t, dir)
	case strings.HasPrefix(name, "vd"):
		return diskID{Transport: "virtio", Serial: t.text(dir, "serial")}
	case strings.HasPrefix(name, "mmcblk"):
		return diskID{Transport: "mmc", Model: t.text(dir, "device/name"), Serial: t.text(dir, "device/serial")}
	case strings.Contains(devpath, "/usb"):
		return usbID(t, dir, devpath)
	case strings.HasPrefix(name, "sd"):
		id := scsiID(scsiPages{
			vendor: string(t.bytes(dir, "device/vendor")), model: string(t.bytes(dir, "device/model")),
			page80: t.bytes(dir, "device/vpd_pg80"), page83: t.bytes(dir, "device/vpd_pg83"), page89: t.bytes(dir, "device/vpd_pg89"),
		})
		if id.Transport == "scsi" && strings.Contains(devpath, "/end_device-") {
			id.Transport = "sas"
		}
		return id
	}
	return diskID{Model: t.text(dir, "device/model"), Serial: t.text(dir, "device/serial")}
}

func nvmeID(t tree, dir string) diskID {
	return diskID{
		Transport: "nvme",
		Model:     t.text(dir, "device/model"),
		Serial:    t.text(dir, "device/serial"),
		WWN:       t.text(dir, "wwid"),
	}
}

// usbID follows udev's usb_id: the SCSI names, the serial of the USB device
// above, and target:lun as the instance, for card readers have several.
func usbID(t tree, dir, devpath string) diskID {
	id := diskID{
		Transport: "usb",
		Vendor:    t.text(dir, "device/vendor"),
		Model:     t.text(dir, "device/model"),
	}
	if hctl := strings.Split(t.base(dir, "device"), ":"); len(hctl) == 4 {
		id.Instance = hctl[2] + ":" + hctl[3]
	}
	// The serial stands in the USB device, some levels above the disk.
	for up := path.Join("sys/block", path.Dir(devpath)); strings.Contains(up, "/usb"); up = path.Dir(up) {
		if id.Serial = t.text(up, "serial"); id.Serial != "" {
			break
		}
	}
	return id
}
