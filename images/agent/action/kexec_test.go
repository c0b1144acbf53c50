package action

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// fakeFiles is a file system in memory.
type fakeFiles map[string]string

func (f fakeFiles) readConfig(name string) (string, error) {
	if text, ok := f[name]; ok {
		return text, nil
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (f fakeFiles) names(dir string) (names []string) {
	for name := range f {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

const debianGRUB = `### BEGIN /etc/grub.d/00_header ###
set default="0"
function gfxmode {
	set gfxpayload="${1}"
}
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	load_video
	search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555
	echo	'Loading Linux 6.1.0-28-amd64 ...'
	linux	/boot/vmlinuz-6.1.0-28-amd64 root=UUID=1111 ro  console=ttyS0,115200 quiet $vt_handoff
	initrd	/boot/initrd.img-6.1.0-28-amd64
}
submenu 'Advanced options for Debian GNU/Linux' {
	menuentry 'old' {
		linux	/boot/vmlinuz-6.1.0-1-amd64 root=UUID=1111 ro single
		initrd	/boot/initrd.img-6.1.0-1-amd64
	}
}
`

func TestFindBoot(t *testing.T) {
	entry := func(version string) string {
		return "title Fedora\nversion " + version + "\nlinux /vmlinuz-" + version + "\ninitrd /initramfs-" + version + ".img $tuned_initrd\noptions $kernelopts ro\n"
	}
	for name, test := range map[string]struct {
		files fakeFiles
		want  string
	}{
		"debian":        {fakeFiles{"/boot/grub/grub.cfg": debianGRUB}, "/boot/vmlinuz-6.1.0-28-amd64 | /boot/initrd.img-6.1.0-28-amd64 | root=UUID=1111 ro console=ttyS0,115200 quiet"},
		"a /boot apart": {fakeFiles{"/grub2/grub.cfg": "set kernelopts=\"root=/dev/sda2 ro\"\nmenuentry x {\nlinux /vmlinuz ${kernelopts}\ninitrd /initrd\n}\n"}, "/vmlinuz | /initrd | root=/dev/sda2 ro"},
		"the newest of the loader entries": {fakeFiles{
			"/loader/entries/id-6.9.1.conf": entry("6.9.1"), "/loader/entries/id-6.12.3.conf": entry("6.12.3"),
			"/loader/entries/id-0-rescue.conf": entry("0-rescue"), "/grub2/grubenv": "# GRUB Environment Block\nkernelopts=root=UUID=22\n####"},
			"/vmlinuz-6.12.3 | /initramfs-6.12.3.img | root=UUID=22 ro"},
		"loader entries below /boot": {fakeFiles{"/boot/loader/entries/a.conf": "linux /vmlinuz-6\ninitrd /initrd-6\noptions root=UUID=3\n", "/boot/vmlinuz-6": ""},
			"/boot/vmlinuz-6 | /boot/initrd-6 | root=UUID=3"},
		"an initrd without a name":  {fakeFiles{"/loader/entries/a.conf": "linux /vmlinuz\ninitrd \n"}, "/vmlinuz |  | "},
		"an option without a value": {fakeFiles{"/loader/entries/a.conf": entry("6")}, "error: /loader/entries/a.conf: it uses $kernelopts, which has no value; name the kernel by KERNEL_PATH"},
		"no kernel":                 {fakeFiles{"/boot/grub/grub.cfg": "menuentry memtest {\nchainloader /x\n}\n"}, "error: /boot/grub/grub.cfg: it has no entry with a kernel; name the kernel by KERNEL_PATH"},
		"nothing":                   {fakeFiles{}, "error: it has no grub.cfg and no loader entries; name the kernel by KERNEL_PATH"},
	} {
		item, err := findBoot(test.files)
		got := fmt.Sprintf("%s | %s | %s", item.kernel, item.initrd, item.options)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func FuzzParseGRUB(f *testing.F) {
	f.Add(debianGRUB)
	f.Fuzz(func(t *testing.T, config string) {
		item, err := parseGRUB(config)
		if err == nil && (item.kernel == "" && !strings.Contains(config, "$") || strings.ContainsAny(item.options, "\n")) {
			t.Errorf("%+v from %q", item, config)
		}
	})
}

// Nothing but the first process of a machine ends it.
func TestEndIsForTheFirstProcess(t *testing.T) {
	for _, name := range []string{"reboot", "poweroff"} {
		env, _ := asked(t)
		if err := do(t, env, name); err == nil || !strings.Contains(err.Error(), "not the first one of the machine") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKexecRefuses(t *testing.T) {
	device := rootFS(t, nil)
	for says, vars := range map[string][]string{
		"BLOCK_DEVICE is not set":                   {"BLOCK_DEVICE="},
		"INITRD_PATH is set and KERNEL_PATH is not": {"INITRD_PATH=/initrd"},
		"it has no grub.cfg and no loader entries":  {},
		"/boot/vmlinuz: no such file or directory":  {"KERNEL_PATH=/boot/vmlinuz"},
		"../etc/passwd: no such file or directory":  {"KERNEL_PATH=../etc/passwd"},
		"it is ext4, and FS_TYPE says xfs":          {"FS_TYPE=xfs"},
	} {
		env, _ := asked(t, append([]string{"BLOCK_DEVICE=" + device}, vars...)...)
		if err := do(t, env, "kexec"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
}
