package action

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"dragonfly/images/agent/disktest"
	"dragonfly/images/agent/partition"
	"dragonfly/images/agent/signature"
)

// usedLoop is a disk of 16 MiB full of random bytes, with a GPT and an ext4 on it.
func usedLoop(t *testing.T) *loop {
	t.Helper()
	l := newLoop(t, 16<<20, 512)
	f, err := os.OpenFile(l.device, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	table := partition.Table{Kind: partition.GPT, Sector: 512, Parts: []partition.Partition{{Number: 1, Start: 2 << 20, Size: 8 << 20, Type: partition.LinuxGUID}}}
	must(t, table.Write(f, l.size))
	// Where ext4 has its magic number, in a partition that begins at 2 MiB.
	image := filepath.Join(t.TempDir(), "ext4")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 8<<20))
	disktest.Run(t, "mkfs.ext4", "-q", "-F", image)
	b, err := os.ReadFile(image)
	must(t, err)
	_, err = f.WriteAt(b[:1<<20], 2<<20)
	must(t, err)
	must(t, f.Sync())
	return l
}

func TestWipe(t *testing.T) {
	t.Parallel()
	for method, zeros := range map[string]bool{"": true, "auto": true, "zero": true, "overwrite": true, "discard": true, "signatures": false} {
		t.Run("by "+method, func(t *testing.T) {
			l := usedLoop(t)
			env, said := newEnv(t, map[string]string{"DEST_DISK": l.device, "WIPE_METHOD": method})
			if err := run(t.Context(), env, "wipe"); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(said.asked, []string{l.device}) {
				t.Errorf("asked for %q", said.asked)
			}
			got := l.bytes(t)
			if blank := len(bytes.Trim(got, "\x00")) == 0; blank != zeros {
				t.Errorf("only zeros are left: %v", blank)
			}
			if zeros && (said.last.Done != l.size || said.last.Total != l.size) {
				t.Errorf("the last progress is %+v of %d", said.last, l.size)
			}
			l.unbootable(t)
			found, err := signature.Examine(bytes.NewReader(got), l.size)
			if err != nil || slices.ContainsFunc(found.Whole, func(s signature.Signature) bool { return s.Kind != signature.Data }) || len(found.Parts) > 0 {
				t.Errorf("%+v is left, %v", found, err)
			}
			if fs, err := signature.Probe(bytes.NewReader(got[2<<20:10<<20]), 8<<20); len(fs) > 0 || err != nil {
				t.Errorf("%+v is left in the partition, %v", fs, err)
			}
		})
	}
}

func TestWipeRefuses(t *testing.T) {
	l := usedLoop(t)
	for says, vars := range map[string]map[string]string{
		"DEST_DISK is not set":     {},
		`WIPE_METHOD is "shred"`:   {"DEST_DISK": l.device, "WIPE_METHOD": "shred"},
		"there is no disk /dev/no": {"DEST_DISK": "/dev/no"},
	} {
		env, _ := newEnv(t, vars)
		if err := run(t.Context(), env, "wipe"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	another := errors.New("this deployment may write to sda alone")
	for _, name := range []string{"wipe", "disk-wipe"} {
		env, _ := newEnv(t, map[string]string{"DEST_DISK": l.device})
		env.Writing = func(string) error { return another }
		before := l.bytes(t)
		if err := run(t.Context(), env, name); !errors.Is(err, another) {
			t.Error(err)
		}
		if differ(before, l.bytes(t)) >= 0 {
			t.Errorf("%s changed a disk that it may not", name)
		}
	}
}

// A disk that does not know what is asked for is told so before it is changed.
func TestWipeByWhatTheDiskDoesNotKnow(t *testing.T) {
	l := usedLoop(t)
	before := l.bytes(t)
	for method, says := range map[string]string{"format": "it is no NVMe disk", "sanitize": "it is no NVMe disk", "secure-discard": "knows no secure discard"} {
		env, _ := newEnv(t, map[string]string{"DEST_DISK": l.device, "WIPE_METHOD": method})
		if err := run(t.Context(), env, "wipe"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if differ(before, l.bytes(t)) >= 0 {
		t.Error("the disk was changed")
	}
}

func TestWipeIsCancelled(t *testing.T) {
	l := usedLoop(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancelled := errors.New("it was cancelled")
	env, _ := newEnv(t, map[string]string{"DEST_DISK": l.device, "WIPE_METHOD": "overwrite"})
	env.Progress = func(Progress) { cancel(cancelled) }
	if err := run(ctx, env, "wipe"); !errors.Is(err, cancelled) {
		t.Error(err)
	}
	l.unbootable(t)
	if len(bytes.Trim(l.bytes(t), "\x00")) == 0 {
		t.Error("it went on after it was cancelled")
	}
}

// What is removable, hidden, empty or made of other disks is not wiped.
func TestFixedDisks(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"sda/size": "100", "mmcblk0boot0/size": "8", "mmcblk0rpmb/size": "8", "sdb/size": "100", "sdb/removable": "1", "sdc/size": "0", "nvme0n1/size": "7", "nvme0c0n1/size": "7", "nvme0c0n1/hidden": "1",
		"loop0/size": "7", "md0/size": "7", "dm-0/size": "7", "sr0/size": "7", "cciss!c0d0/size": "7",
	} {
		name := filepath.Join(root, "sys/block", file)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(text+"\n"), 0o644))
	}
	got, err := fixedDisks(&Env{Root: root})
	if want := []string{"/dev/cciss/c0d0", "/dev/nvme0n1", "/dev/sda"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if _, err := fixedDisks(&Env{Root: filepath.Join(root, "sys")}); err == nil {
		t.Error("a machine without disks has some")
	}
}

func TestNVMe(t *testing.T) {
	if size := unsafe.Sizeof(nvmeCommand{}); size != 72 {
		t.Errorf("the command has %d bytes, want 72", size)
	}
	id := make([]byte, 4096)
	if c := readController(id); c.whyNotFormat(true) == nil || c.whyNotSanitize(true) == nil {
		t.Error("a controller that knows nothing is asked to erase")
	}
	id[256], id[524] = 2, 1
	binary.LittleEndian.PutUint32(id[328:], 1|2)
	c := readController(id)
	if c.whyNotFormat(true) != nil || c.whyNotSanitize(true) != nil || !errors.Is(c.whyNotFormat(false), errNamespaces) || !errors.Is(c.whyNotSanitize(false), errNamespaces) {
		t.Errorf("%+v", c)
	}
	for known, want := range map[uint32]uint32{1: cryptoErase, 2: blockErase, 3: blockErase, 4: overwriteErase} {
		if got := (nvmeController{sanitize: known}).sanitizeAction(); got != want {
			t.Errorf("sanitize %03b: %d, want %d", known, got, want)
		}
	}
	namespace := make([]byte, 4096)
	namespace[26], namespace[29] = 0b0101_0011, 0b1010 // format 3 and 2 above it, metadata in line; protection 2, first
	if got, want := formatOf(namespace), uint32(3|1<<4|2<<5|1<<8|1<<9|2<<12); got != want {
		t.Errorf("format %#x, want %#x", got, want)
	}
	for status, want := range map[byte]string{1: "true", 4: "true", 2: "false", 3: "failed", 0: "failed"} {
		page := make([]byte, 512)
		page[1], page[2] = 0x80, status
		done, progress, err := sanitizeStatus(page)
		got := map[bool]string{true: "true", false: "false"}[done]
		if err != nil {
			got = "failed"
		}
		if got != want || status == 2 && progress != 1<<15 {
			t.Errorf("status %d: %s, %d, %v", status, got, progress, err)
		}
	}
}

// A disk that formats itself for an hour does not keep a cancelled deployment waiting.
func TestGoesOn(t *testing.T) {
	cancelled := errors.New("it was cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	hour := make(chan struct{})
	defer close(hour)
	err := goesOn(ctx, func() error {
		cancel(cancelled)
		<-hour
		return nil
	})
	if !errors.Is(err, cancelled) || !strings.Contains(err.Error(), "goes on by itself") {
		t.Error(err)
	}
	refused := errors.New("it was refused")
	if err := goesOn(t.Context(), func() error { return refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
}
