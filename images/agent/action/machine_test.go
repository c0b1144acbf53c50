package action_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dragonfly/images/agent"
	"dragonfly/images/agent/action"
	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/signature"
	"dragonfly/images/packed"
)

// Some actions need a kernel that is theirs alone: arrays, logical volumes, NVMe, and
// the start of another kernel. For these this test program is the init of a virtual
// machine with the agent image's kernel, drivers and tools, as `make image` builds
// them; what it says there is read from the machine's console.

const (
	imageDir = "../../../bin/images/amd64"
	machine  = 10 * time.Minute // emulated, on a busy host
	passed   = "MACHINE: the actions are right"
	started  = "MACHINE: the other kernel runs"
)

func TestMain(m *testing.M) {
	if os.Getpid() != 1 {
		os.Exit(m.Run())
	}
	os.Args = []string{"init", "-test.v", "-test.run=^TestMachine$"}
	err := mount()
	if line, _ := os.ReadFile("/proc/cmdline"); strings.Contains(string(line), "machine.second") {
		fmt.Println(started)
	} else if err = errors.Join(err, boot()); err != nil {
		fmt.Println("MACHINE:", err)
	} else if m.Run() == 0 {
		fmt.Println(passed)
		fmt.Println("MACHINE: kexec:", do("kexec", nil, "BLOCK_DEVICE=/dev/vdb", "FS_TYPE=ext4", "KERNEL_PATH=/vmlinuz", "INITRD_PATH=/initrd", "CMD_LINE=console=ttyS0 quiet machine.second"))
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// mount mounts what every program expects.
func mount() error {
	for _, m := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}} {
		if err := errors.Join(os.MkdirAll(m[1], 0o755), ignore(unix.Mount(m[0], m[1], m[0], 0, ""), unix.EBUSY)); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	return nil
}

// boot makes the machine usable.
func boot() error {
	drivers, err := os.Open("/" + packed.Drivers)
	if err != nil {
		return err
	}
	if err := packed.Unpack(drivers, "/"); err != nil {
		return err
	}
	need("virtio_pci", "virtio_blk", "nvme")
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	return err
}

func ignore(err, which error) error {
	if errors.Is(err, which) {
		return nil
	}
	return err
}

// need loads modules, as the agent does.
func need(names ...string) {
	var u unix.Utsname
	_ = unix.Uname(&u)
	dir := "/lib/modules/" + unix.ByteSliceToString(u.Release[:])
	modules, err := agent.NewModules(os.DirFS(dir), func(file string) error {
		f, err := os.Open(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		defer f.Close()
		return ignore(unix.FinitModule(int(f.Fd()), "", 0), unix.EEXIST)
	})
	for _, name := range names {
		if err == nil {
			_, err = modules.Load(name)
		}
	}
	if err != nil {
		fmt.Println("MACHINE: load:", err)
	}
}

// do runs an action with the tools of the image.
func do(name string, command []string, vars ...string) error {
	env := &action.Env{Vars: map[string]string{}, Command: command, Need: need, Log: func(line string) { fmt.Println("  ", line) }}
	for _, v := range vars {
		key, value, _ := strings.Cut(v, "=")
		env.Vars[key] = value
	}
	if sum, err := os.ReadFile("/" + packed.Tools); err == nil {
		env.Tools = &action.Toolbox{URL: "http://127.0.0.1:8080/tools.tar.zst", SHA256: strings.TrimSpace(string(sum)), Dir: "/run/tools"}
	}
	todo, ok := action.Lookup(name)
	if !ok {
		return fmt.Errorf("no action %s", name)
	}
	return todo.Run(context.Background(), env)
}

func TestMachine(t *testing.T) {
	if os.Getpid() == 1 {
		t.Run("arrays and logical volumes", guestAssembles)
		t.Run("NVMe", guestNVMe)
		return
	}
	t.Parallel() // it is another machine, on which nothing here depends
	dir := t.TempDir()
	kernel, initrd, bare := machineImage(t, dir)
	boot := filepath.Join(dir, "boot")
	for to, from := range map[string]string{"vmlinuz": kernel, "initrd": bare} {
		body, err := os.ReadFile(from)
		must(t, err)
		must(t, errors.Join(os.MkdirAll(boot, 0o755), os.WriteFile(filepath.Join(boot, to), body, 0o644)))
	}
	disk := func(name string, size int64) string {
		file := filepath.Join(dir, name)
		must(t, errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)))
		return file
	}
	second := disk("second", 256<<20)
	disktest.Run(t, "mkfs.ext4", "-q", "-d", boot, second)
	ctx, cancel := context.WithTimeout(t.Context(), machine)
	defer cancel()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "1024", "-smp", "1",
		"-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
		"-drive", "if=virtio,format=raw,cache=unsafe,file="+disk("first", 1<<30), "-drive", "if=virtio,format=raw,cache=unsafe,file="+second,
		"-drive", "if=virtio,format=raw,cache=unsafe,file="+disk("third", 1536<<20),
		"-drive", "if=none,id=n,format=raw,cache=unsafe,file="+disk("nvme", 64<<20), "-device", "nvme,serial=one,drive=n",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1").CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte(passed)) || !bytes.Contains(out, []byte(started)) {
		t.Errorf("the machine: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machineImage is the agent's kernel, and its initramfs with this program as /init and
// the tools; bare has only the program, as the second kernel needs no more, and an
// emulated processor takes long over what is large.
func machineImage(t *testing.T, dir string) (kernel, initrd, bare string) {
	t.Helper()
	kernel = filepath.Join(imageDir, "vmlinuz")
	archives, _ := filepath.Glob(filepath.Join(imageDir, "tools-*.tar.zst"))
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil || len(archives) != 1 {
		t.Skip("SKIPPED: without qemu-system-x86_64 and the agent image (make image)")
	}
	program := filepath.Join(dir, "init")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	image, err := os.ReadFile(filepath.Join(imageDir, "initramfs.zst"))
	must(t, err)
	image = append(image, make([]byte, (512-len(image)%512)%512)...)
	image = append(image, archive(t, map[string]string{"init": program, "tools.tar.zst": archives[0]})...)
	initrd, bare = filepath.Join(dir, "initrd"), filepath.Join(dir, "bare")
	must(t, os.WriteFile(initrd, image, 0o600))
	must(t, os.WriteFile(bare, archive(t, map[string]string{"init": program}), 0o600))
	return kernel, initrd, bare
}

// archive is a cpio archive with files.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var all bytes.Buffer
	w := cpio.Newc.Writer(&all)
	for name, file := range files {
		body, err := os.ReadFile(file)
		must(t, err)
		must(t, w.WriteRecord(cpio.StaticRecord(body, cpio.Info{Name: name, Mode: cpio.S_IFREG | 0o755})))
	}
	must(t, cpio.WriteTrailer(w))
	return all.Bytes()
}

// machineLayout has a mirror over two disks with the root file system, and a volume
// group over both, with a volume that is larger than either has room for.
const machineLayout = `STORAGE={"disks": [
	{"device": "/dev/vda", "wipe_table": true, "partitions": [
		{"label": "EFI", "number": 1, "size": 131072}, {"label": "A", "number": 2, "size": 614400}, {"label": "PV", "number": 3, "size": 0}]},
	{"device": "/dev/vdc", "wipe_table": true, "partitions": [{"label": "B", "number": 1, "size": 614400}, {"label": "PV", "number": 2, "size": 0}]}],
"raid": [{"name": "md0", "level": "1", "devices": ["/dev/vda2", "/dev/vdc1"]}],
"volume_groups": [{"name": "vg0", "physical_volumes": ["/dev/vda3", "/dev/vdc2"], "tags": ["lab"], "logical_volumes": [
	{"name": "data", "size": 1468006400}, {"name": "swap", "size": 0}]}],
"filesystems": [{"mount": {"device": "/dev/md0", "format": "ext4", "point": "/"}},
	{"mount": {"device": "/dev/vda1", "format": "vfat", "point": "/boot/efi"}},
	{"mount": {"device": "/dev/vg0/data", "format": "xfs", "point": "/srv"}},
	{"mount": {"device": "/dev/vg0/swap", "format": "swap"}}]}`

// guestAssembles makes an array and a volume group, twice: the second attempt finds
// those of the first, in use.
func guestAssembles(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:8080")
	must(t, err)
	defer l.Close()
	go func() { _ = http.Serve(l, http.FileServer(http.Dir("/"))) }()
	for range 2 {
		for _, command := range []string{"partition", "format", "mount"} {
			must(t, do("rootio", []string{command}, machineLayout))
		}
	}
	state, err := os.ReadFile("/proc/mdstat")
	must(t, err)
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	for text, wants := range map[string][]string{
		string(state):                            {"md0 : active raid1", "[2/2] [UU]"},
		string(mounts):                           {"/dev/md0 /run/rootio ext4", "/dev/vda1 /run/rootio/boot/efi vfat", " /run/rootio/srv xfs"},
		tool(t, "mdadm", "--detail", "/dev/md0"): {"Raid Level : raid1", "Active Devices : 2", "any:0"},
		tool(t, "lvm", "lvs", "--noheadings", "--units", "m", "-o", "lv_name,lv_size"): {"data 1400.00m", "swap"},
		tool(t, "lvm", "vgs", "--noheadings", "-o", "vg_name,vg_tags,pv_name"):         {"vg0  lab  /dev/vda3", "vg0  lab  /dev/vdc2"},
	} {
		for _, want := range wants {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
	must(t, do("rootio", []string{"wipe"}, machineLayout))
	if state, _ := os.ReadFile("/proc/mdstat"); strings.Contains(string(state), "md0") {
		t.Errorf("wiped, and there is still\n%s", state)
	}
	for _, device := range []string{"/dev/vda", "/dev/vdc"} {
		f, err := os.Open(device)
		must(t, err)
		defer f.Close()
		size, err := f.Seek(0, io.SeekEnd)
		must(t, err)
		found, err := signature.Examine(f, size)
		known := func(s signature.Signature) bool { return s.Kind != signature.Data }
		if slices.ContainsFunc(found.Whole, known) || len(found.Parts) > 0 || err != nil {
			t.Errorf("wiped, and %s has %+v, %v", device, found, err)
		}
	}
}

// tool runs one of the image's tools.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	return disktest.Run(t, "/run/tools/lib/ld.so", append([]string{"--library-path", "/run/tools/lib", "--argv0", name, "/run/tools/bin/" + name}, args...)...)
}

// guestNVMe has the disk erase itself. QEMU's knows how to format; of a disk that does
// not know how to sanitize, nothing is changed.
func guestNVMe(t *testing.T) {
	const disk = "/dev/nvme0n1"
	fill := bytes.Repeat([]byte("what was here "), 1<<16)
	f, err := os.OpenFile(disk, os.O_RDWR|unix.O_SYNC, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(fill, 1<<20)
	must(t, err)
	got := make([]byte, len(fill))
	read := func() []byte {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		_, err := f.ReadAt(got, 1<<20)
		must(t, err)
		return got
	}
	if err := do("wipe", nil, "DEST_DISK="+disk, "WIPE_METHOD=sanitize"); err == nil {
		t.Log("this disk knows how to sanitize")
	} else if !strings.Contains(err.Error(), "nothing was changed") || !bytes.Equal(read(), fill) {
		t.Errorf("sanitize: %v", err)
	}
	must(t, do("wipe", nil, "DEST_DISK="+disk, "WIPE_METHOD=format"))
	if !bytes.Equal(read(), make([]byte, len(fill))) {
		t.Errorf("formatted, and it has %q", got[:20])
	}
}
