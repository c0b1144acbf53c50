package agent

import (
	"slices"
	"strings"
	"testing"
)

// page puts a header before the body of a vital product data page.
func page(number byte, body string) []byte {
	return append([]byte{0, number, byte(len(body) >> 8), byte(len(body))}, body...)
}

func pad(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }

func TestLinksAsUdevMakesThem(t *testing.T) {
	naa5 := "\x01\x03\x00\x08\x50\x00\xc5\x00\x15\xea\x71\xac"
	naa6 := "\x01\x03\x00\x10\x60\x0a\x09\x80\x38\x30\x36\x4c\x2b\x3f\x4d\x65\x6a\x51\x37\x43"
	port := "\x61\x93\x00\x08\x50\x00\xc5\x00\x15\xea\x71\xad" // of the target port, not of the disk
	t10 := "\x02\x01\x00\x44ATA     " + pad("Samsung SSD 870 EVO 1TB", 40) + pad("S5Y2NJ0R123456", 20)
	for name, test := range map[string]struct {
		id   diskID
		want []string
	}{
		"nvme": {
			diskID{Transport: "nvme", Model: "Samsung SSD 980 PRO 1TB", Serial: "S5GXNX0T", WWN: "eui.0025385b01234567"},
			[]string{"nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0T", "nvme-eui.0025385b01234567"},
		},
		"virtio":                {diskID{Transport: "virtio", Serial: "VBLK1"}, []string{"virtio-VBLK1"}},
		"virtio without serial": {diskID{Transport: "virtio"}, nil},
		"usb": {
			diskID{Transport: "usb", Vendor: "SanDisk", Model: "Ultra Fit", Serial: "4C5300012", Instance: "0:0"},
			[]string{"usb-SanDisk_Ultra_Fit_4C5300012-0:0"},
		},
		"mmc": {diskID{Transport: "mmc", Model: "DG4016", Serial: "0x1234abcd"}, []string{"mmc-DG4016_0x1234abcd"}},
		"hostile": {
			diskID{Transport: "virtio", Serial: "../../etc/passwd\x00<b>"},
			[]string{"virtio-.._.._etc_passwd__b_"},
		},
		"sata by its T10 name": {
			scsiID(scsiPages{vendor: "ATA     ", model: "Samsung SSD 870 ", page83: page(0x83, t10+naa5)}),
			[]string{"ata-Samsung_SSD_870_EVO_1TB_S5Y2NJ0R123456", "wwn-0x5000c50015ea71ac"},
		},
		"sas": {
			scsiID(scsiPages{vendor: "SEAGATE ", model: "ST2000NM0045    ", page83: page(0x83, port+naa5)}),
			[]string{"scsi-35000c50015ea71ac", "wwn-0x5000c50015ea71ac"},
		},
		"san, extended before plain": {
			scsiID(scsiPages{vendor: "NETAPP  ", model: "LUN C-Mode      ", page83: page(0x83, naa5+naa6)}),
			[]string{"scsi-3600a09803830364c2b3f4d656a513743", "wwn-0x600a09803830364c2b3f4d656a513743"},
		},
		"vendor's own number": {
			scsiID(scsiPages{vendor: "QEMU    ", model: "QEMU HARDDISK   ", page83: page(0x83, "\x02\x00\x00\x06dev100")}),
			[]string{"scsi-0QEMU_QEMU_HARDDISK_dev100"},
		},
		"serial number only": {
			scsiID(scsiPages{vendor: "DELL    ", model: "PERC H730       ", page80: page(0x80, "00a1b2c3")}),
			[]string{"scsi-SDELL_PERC_H730_00a1b2c3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.id.Links(); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzSCSI(f *testing.F) {
	f.Add([]byte(nil), page(0x83, "\x01\x03\x00\x08\x50\x00\xc5\x00\x15\xea\x71\xac"), make([]byte, 572))
	f.Add(page(0x80, "x"), page(0x83, "\x02\x01\x00\xff"), []byte{})
	f.Fuzz(func(t *testing.T, page80, page83, page89 []byte) {
		id := scsiID(scsiPages{vendor: "V", model: "M", page80: page80, page83: page83, page89: page89})
		for _, link := range id.Links() {
			if strings.ContainsAny(link, "/\x00 \n") {
				t.Errorf("a link named %q", link)
			}
		}
	})
}
