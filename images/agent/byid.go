package agent

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// diskID is what a disk calls itself. [diskID.Links] makes of it the names that
// udev would (60-persistent-storage.rules), so that a name chosen here is the
// name in the installed system.
type diskID struct {
	Transport     string // nvme, sata, sas, scsi, virtio, usb, mmc
	Vendor        string // USB only: elsewhere it is no part of a name
	Model, Serial string
	WWN           string // "0x5000..." or, for NVMe, "eui.." or "nvme.."
	Name          string // SCSI: the ID_SERIAL of udev's scsi_id
	Instance      string // USB: target:lun
}

// Links are the disk's names under /dev/disk/by-id, the most telling first.
func (d diskID) Links() []string {
	var names []string
	add := func(prefix string, parts ...string) {
		for _, p := range parts {
			if p == "" {
				return
			}
		}
		names = append(names, prefix+udevName(strings.Join(parts, "_")))
	}
	switch d.Transport {
	case "nvme":
		add("nvme-", d.Model, d.Serial)
		add("nvme-", d.WWN)
	case "sata":
		add("ata-", d.Model, d.Serial)
	case "sas", "scsi":
		add("scsi-", d.Name)
	case "virtio":
		add("virtio-", d.Serial)
	case "mmc":
		add("mmc-", d.Model, d.Serial)
	case "usb":
		add("usb-", d.Vendor, d.Model, d.Serial+"-"+d.Instance)
	}
	if strings.HasPrefix(d.WWN, "0x") {
		add("wwn-", d.WWN)
	}
	return names
}

// udevName replaces what udev replaces in a name: blanks by one "_" each run,
// and characters outside its list (systemd, device-nodes.c allow_listed_char)
// by "_".
func udevName(s string) string {
	s = strings.Join(strings.Fields(s), "_")
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune("#+-.:=@_", r):
			return r
		}
		return '_'
	}, s)
}

// scsiPages is what sysfs shows of a SCSI disk: the strings of the standard
// inquiry, and the vital product data pages (SPC-6 section 7.7): 80h unit serial
// number, 83h device identification, 89h ATA information.
type scsiPages struct {
	vendor, model          string
	page80, page83, page89 []byte
}

// scsiID reads the pages the way udev does: ata_id for a disk that speaks ATA
// behind the SCSI layer, scsi_id for all others.
func scsiID(p scsiPages) diskID {
	names := designators(p.page83)
	if id, ok := ataID(p, names); ok {
		return id
	}
	id := diskID{Transport: "scsi", Model: clean(p.vendor + " " + p.model)}
	if len(p.page80) > 4 {
		id.Serial = clean(string(p.page80[4:]))
	}
	id.Name = scsiName(p, names)
	id.WWN = wwn(names)
	return id
}

// designator is one name of page 83h.
type designator struct {
	kind, set byte // type and code set
	value     []byte
}

// The types and code sets of a designator (SPC-6 table 589 and 590).
const (
	kindVendor, kindT10, kindEUI, kindNAA = 0, 1, 2, 3
	setBinary, setASCII                   = 1, 2
)

// designators are the names of the logical unit itself, not those of its port or
// target.
func designators(page83 []byte) []designator {
	var found []designator
	if len(page83) < 4 {
		return nil
	}
	for rest := page83[4:]; len(rest) >= 4; {
		end := 4 + int(rest[3])
		if end > len(rest) {
			break
		}
		if association := rest[1] >> 4 & 3; association == 0 {
			found = append(found, designator{kind: rest[1] & 15, set: rest[0] & 15, value: rest[4:end]})
		}
		rest = rest[end:]
	}
	return found
}

// scsiName is the name scsi_id would choose: NAA extended, NAA, EUI-64, T10
// vendor, vendor specific, else the unit serial number. It begins with the
// designator's type.
func scsiName(p scsiPages, names []designator) string {
	for _, want := range []struct{ kind, naa byte }{{kindNAA, 6}, {kindNAA, 5}, {kindEUI, 0}, {kindT10, 0}, {kindVendor, 0}} {
		for _, set := range []byte{setBinary, setASCII} {
			for _, d := range names {
				if d.kind == want.kind && d.set == set && len(d.value) > 0 && (want.naa == 0 || naa(d) == want.naa) {
					return scsiText(p, d)
				}
			}
		}
	}
	if len(p.page80) > 4 {
		return "S" + inquiry(p) + string(p.page80[4:])
	}
	return ""
}

func scsiText(p scsiPages, d designator) string {
	text := string(d.value)
	if d.set == setBinary {
		text = hex.EncodeToString(d.value)
	}
	// A vendor's own numbers are unique only beside vendor and model.
	if d.kind == kindVendor {
		text = inquiry(p) + text
	}
	return string('0'+rune(d.kind)) + text
}

// inquiry is vendor and model in the fixed widths of the standard inquiry.
func inquiry(p scsiPages) string {
	pad := func(s string, n int) string {
		s = strings.TrimRight(s, "\n ")
		return (s + strings.Repeat(" ", n))[:n]
	}
	return pad(p.vendor, 8) + pad(p.model, 16)
}

// naa is the format of an NAA name: its first four bits.
func naa(d designator) byte {
	if d.kind != kindNAA || len(d.value) == 0 {
		return 0
	}
	if d.set == setASCII {
		return d.value[0] - '0'
	}
	return d.value[0] >> 4
}

// wwn is the world wide name: "0x" and the NAA name in hexadecimal.
func wwn(names []designator) string {
	for _, want := range []byte{6, 5} {
		for _, d := range names {
			if naa(d) == want && d.set == setBinary {
				return "0x" + hex.EncodeToString(d.value)
			}
		}
	}
	return ""
}

// ataID reads IDENTIFY DEVICE (ACS-4 section 7.12) in page 89h where the kernel
// shows it, else the T10 name that SAT has every ATA disk show: "ATA", padded to
// 8, the model to 40 and the serial to 20.
func ataID(p scsiPages, names []designator) (diskID, bool) {
	const identify = 60 // where page 89h has IDENTIFY DEVICE
	if len(p.page89) >= identify+512 {
		words := p.page89[identify:]
		id := diskID{Transport: "sata", Serial: ataString(words[20:40]), Model: ataString(words[54:94])}
		if w := ataWWN(words); w != "" {
			id.WWN = w
		}
		return id, id.Model != ""
	}
	for _, d := range names {
		if d.kind == kindT10 && len(d.value) == 68 && string(d.value[:8]) == "ATA     " {
			return diskID{
				Transport: "sata", Model: clean(string(d.value[8:48])), Serial: clean(string(d.value[48:])), WWN: wwn(names),
			}, true
		}
	}
	return diskID{}, false
}

// ataString unswaps a string of 16-bit words.
func ataString(words []byte) string {
	s := make([]byte, len(words))
	for i := range s {
		s[i] = words[i^1]
	}
	return clean(string(s))
}

// ataWWN is words 108 to 111, valid when word 87 has bit 14 set, bit 15 clear and
// bit 8 set.
func ataWWN(words []byte) string {
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(words[2*n:]) }
	if word(87)&0xc100 != 0x4100 {
		return ""
	}
	var b [8]byte
	for i := range 4 {
		binary.BigEndian.PutUint16(b[2*i:], word(108+i))
	}
	return "0x" + hex.EncodeToString(b[:])
}
