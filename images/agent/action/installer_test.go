package action

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// installerOf is an installer whose files are on s, as a template asks for it.
func installerOf(t *testing.T, s *server, vars ...string) error {
	t.Helper()
	env, written := asked(t, append([]string{"DEST_DISK=/dev/disk/by-id/ata-S1",
		"KERNEL_URL=" + s.URL + "/linux", "KERNEL_SHA256=" + sumOf(s.files["/linux"]),
		"INITRD_URL=" + s.URL + "/initrd", "INITRD_SHA256=" + sumOf(s.files["/initrd"])}, vars...)...)
	err := do(t, env, "installer")
	if len(*written) > 0 {
		t.Errorf("it says that it writes to %v; that is for the installer to say", *written)
	}
	return err
}

func TestInstallerRefuses(t *testing.T) {
	s := newServer(t, map[string][]byte{"/linux": []byte("no kernel"), "/initrd": []byte("no initrd")})
	for says, vars := range map[string][]string{
		"DEST_DISK is not set in the action's environment":                 {"DEST_DISK="},
		"DEST_DISK is /dev/sda; want a path below /dev/disk/by-id":         {"DEST_DISK=/dev/sda"},
		"KERNEL_URL is not set in the action's environment":                {"KERNEL_URL="},
		"KERNEL_SHA256 is not set: nothing is started that is not checked": {"KERNEL_SHA256="},
		`INITRD_SHA256 is "12"; want a SHA-256`:                            {"INITRD_SHA256=12"},
		"/linux has the SHA-256 " + sumOf([]byte("no kernel")):             {"KERNEL_SHA256=" + strings.Repeat("0", 64)},
		"404":                                  {"INITRD_URL=" + s.URL + "/none"},
		`FILES has the line "/a"; want`:        {"FILES=/a"},
		`FILES has the line "/a NONE"; want`:   {"FILES=/a NONE"},
		`FILES has the line "a DEST_DISK"`:     {"FILES=a DEST_DISK"},
		`FILES has the line "/../a DEST_DISK"`: {"FILES=/../a DEST_DISK"},
		"the installer's kernel: ":             nil, // which this kernel does not take, or not from us
	} {
		if err := installerOf(t, s, append(vars, "RETRY_ENABLED=false")...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
}

// What is put into an initrd is there, in directories that are there before, and what
// was in it stays as it was.
func TestAppendInitrd(t *testing.T) {
	env, _ := asked(t, "FILES=/preseed.cfg A\n\n/dragonfly/seed/user-data B\n/dragonfly/seed/meta-data C\n", "A=d-i x\n", "B=#cloud-config\n", "C=")
	files, err := env.initrdFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"", "a", "abc", "abcd"} {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, errWrite := f.WriteString(before)
		if err := errors.Join(errWrite, appendInitrd(f, files)); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		at := (len(before) + 3) / 4 * 4
		if !bytes.HasPrefix(whole, []byte(before)) || strings.Trim(string(whole[len(before):at]), "\x00") != "" {
			t.Errorf("%q became %q", before, whole[:at])
		}
		records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(whole[at:])))
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, r := range records {
			text, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, r.Name+"="+string(text))
		}
		want := []string{"preseed.cfg=d-i x\n", "dragonfly=", "dragonfly/seed=", "dragonfly/seed/user-data=#cloud-config\n", "dragonfly/seed/meta-data="}
		if !slices.Equal(have, want) {
			t.Errorf("%q; want %q", have, want)
		}
	}
}

func TestConsoles(t *testing.T) {
	env, _ := asked(t)
	env.Root = t.TempDir()
	if got := env.consoles(); got != "" {
		t.Errorf("of no command line: %q", got)
	}
	if err := errors.Join(os.Mkdir(env.Root+"/proc", 0o755), os.WriteFile(env.Root+"/proc/cmdline", []byte("a=b console=tty0 quiet console=ttyS0,115200\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if got := env.consoles(); got != "console=tty0 console=ttyS0,115200" {
		t.Errorf("%q", got)
	}
}
