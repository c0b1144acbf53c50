package action

import (
	"archive/tar"
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// formatted is a disk with an empty file system, all of it.
func formatted(t testing.TB, size int64, mkfs ...string) *loop {
	t.Helper()
	disk := newLoop(t, size, 512)
	shell(t, mkfs[0], append(mkfs[1:], disk.device)...)
	return disk
}

// shell runs a program of this host.
func shell(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// mounted is where a disk is mounted while look looks.
func (l *loop) mounted(t testing.TB, kind string, look func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(l.device, dir, kind, 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	look(dir)
}

// tree makes a directory with one of everything, and an archive of it by GNU tar.
func tree(t testing.TB) (archive []byte) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Setxattr(dir, "user.origin", []byte("here"), 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Fatal(err)
	}
	shell(t, "sh", "-euc", `cd "$1"
mkdir -p usr/bin usr/lib etc "dir with spaces/and more" empty
ln -s usr/bin bin
echo '#!/bin/sh' >usr/bin/su; chmod 4755 usr/bin/su
head -c 3000000 /dev/urandom >usr/lib/large
ln usr/lib/large usr/lib/hard
ln -s /etc/passwd etc/absolute; ln -s ../../../etc/shadow etc/climbing; ln -s nowhere dangling
echo root:x:0:0 >etc/passwd; chown 1234:4321 etc/passwd; chmod 640 etc/passwd
truncate -s 5M etc/sparse; printf x | dd of=etc/sparse bs=1 seek=4000000 conv=notrunc status=none
mkfifo etc/pipe; mknod etc/null c 1 3; mknod etc/disk b 7 200
printf ü >'usr/lib/ünïcödé and "quotes"'
chmod 1777 empty; chown 5:6 empty; touch -d '2001-02-03 04:05:06.789' empty etc/passwd usr
touch -h -d '1999-01-01 00:00:00' bin
d=usr/lib; for i in 1 2 3 4 5 6; do d=$d/a-directory-with-a-name-that-is-long-enough-for-a-second-header-in-an-archive; done
mkdir -p $d; echo deep >$d/file
`, "sh", dir)
	capability := []byte{1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // cap_net_raw=ep
	if err := unix.Setxattr(filepath.Join(dir, "usr/bin/su"), "security.capability", capability, 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tree.tar")
	shell(t, "tar", "--create", "--file="+file, "--format=posix", "--sparse", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", dir, ".")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// GNU tar finds no difference between its archive and what was unpacked of it.
func TestArchive2Disk(t *testing.T) {
	t.Parallel()
	archive := tree(t)
	file := filepath.Join(t.TempDir(), "tree.tar")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		archive  []byte
		dest     string
		checksum string
	}{
		"tar":     {archive, "", "sha256:" + sumOf(archive)},
		"targz":   {gzipped(t, archive), "/srv/deep/root", ""},
		"tar.zst": {zstded(t, archive), "srv", fmt.Sprintf("sha512:%x", sha512.Sum512(zstded(t, archive)))},
		"tar.xz":  {packedBy(t, archive, "xz", "-c", "-0"), "/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			disk := formatted(t, 32*mib, "mkfs.ext4", "-q", "-F")
			s := newServer(t, map[string][]byte{"/tree": test.archive})
			env, said := newEnv(t, map[string]string{
				"DEST_DISK": disk.device, "FS_TYPE": "ext4", "DEST_PATH": test.dest, "ARCHIVE_URL": s.URL + "/tree", "ARCHIVE_TYPE": "targz", "TARFILE_CHECKSUM": test.checksum,
			})
			if err := run(t.Context(), env, "archive2disk"); err != nil {
				t.Fatal(err)
			}
			if len(said.asked) == 0 {
				t.Error("it did not ask whether it may write")
			}
			disk.mounted(t, "ext4", func(dir string) {
				shell(t, "tar", "--compare", "--file="+file, "--numeric-owner", "-C", filepath.Join(dir, test.dest))
				attribute := make([]byte, 100)
				n, err := unix.Getxattr(filepath.Join(dir, test.dest, "usr/bin/su"), "security.capability", attribute)
				if err != nil || n != 20 {
					t.Errorf("the capability is lost: %v", err)
				}
			})
		})
	}
}

// entry is one of an archive.
type entry struct {
	name, link string
	kind       byte
	body       string
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Size: int64(len(e.body)), Mode: 0o755, ModTime: time.Unix(1e9, 0)}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// No path of an archive leads out of the directory that it is unpacked into: not up,
// not through a link of its own, not through one that was there before.
func TestArchivesStayInside(t *testing.T) {
	disk := formatted(t, 16*mib, "mkfs.ext4", "-q", "-F")
	const secret = "what was outside"
	disk.mounted(t, "ext4", func(dir string) {
		shell(t, "sh", "-euc", `cd "$1"; mkdir -p etc srv/dest; printf "$2" >etc/passwd; ln -s / srv/dest/root; ln -s ../.. srv/dest/up; ln -s /etc/passwd srv/dest/file`, "sh", dir, secret)
	})
	for name, test := range map[string]struct {
		entries []entry
		want    string // of the error; empty: it is unpacked
		found   string // where, below the directory
	}{
		"up":                     {[]entry{{"../../etc/passwd", "", tar.TypeReg, "evil"}}, "climbs out", ""},
		"up and down":            {[]entry{{"a/../../../etc/passwd", "", tar.TypeReg, "evil"}}, "climbs out", ""},
		"absolute":               {[]entry{{"/etc/passwd", "", tar.TypeReg, "evil"}}, "", "etc/passwd"},
		"own absolute link":      {[]entry{{"etc", "", tar.TypeDir, ""}, {"l", "/etc", tar.TypeSymlink, ""}, {"l/passwd", "", tar.TypeReg, "evil"}}, "", "etc/passwd"},
		"own climbing link":      {[]entry{{"etc", "", tar.TypeDir, ""}, {"l", "../../../../etc", tar.TypeSymlink, ""}, {"l/passwd", "", tar.TypeReg, "evil"}}, "", "etc/passwd"},
		"link to a file":         {[]entry{{"l", "../../etc/passwd", tar.TypeSymlink, ""}, {"l", "", tar.TypeReg, "evil"}}, "", "l"},
		"through a link there":   {[]entry{{"root/etc/passwd", "", tar.TypeReg, "evil"}}, "", "etc/passwd"},
		"up through a link":      {[]entry{{"up/etc/passwd", "", tar.TypeReg, "evil"}}, "", "etc/passwd"},
		"over a link there":      {[]entry{{"file", "", tar.TypeReg, "evil"}}, "", "file"},
		"a directory for a link": {[]entry{{"root", "", tar.TypeDir, ""}, {"root/etc/passwd", "", tar.TypeReg, "evil"}}, "", "etc/passwd"},
		"hard link up":           {[]entry{{"h", "../../etc/passwd", tar.TypeLink, ""}}, "climbs out", ""},
		"hard link by a link":    {[]entry{{"l", "../..", tar.TypeSymlink, ""}, {"h", "l/etc/shadow", tar.TypeLink, ""}}, "link to /l/etc/shadow: no such file", ""},
		"hard link to a link":    {[]entry{{"l", "/etc/passwd", tar.TypeSymlink, ""}, {"h", "l", tar.TypeLink, ""}, {"h", "", tar.TypeReg, "evil"}}, "", "h"},
		"over a directory":       {[]entry{{"d", "", tar.TypeDir, ""}, {"d", "", tar.TypeReg, "evil"}}, "there is a directory of that name", ""},
		"itself":                 {[]entry{{".", "", tar.TypeReg, "evil"}}, "it names the directory", ""},
		"below a file":           {[]entry{{"f", "", tar.TypeReg, "x"}, {"f/g", "", tar.TypeReg, "evil"}}, "not a directory", ""},
		"a link in a circle":     {[]entry{{"c", "c", tar.TypeSymlink, ""}, {"c/g", "", tar.TypeReg, "evil"}}, "too many levels of symbolic links", ""},
		"a link to nowhere":      {[]entry{{"n", "nowhere", tar.TypeSymlink, ""}, {"n/g", "", tar.TypeReg, "evil"}}, "file exists", ""},
		"an unknown kind":        {[]entry{{"u", "", 'Z', ""}}, "an entry of type 'Z' is not known", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, map[string][]byte{"/a": archiveOf(t, test.entries...)})
			env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "FS_TYPE": "ext4", "DEST_PATH": "/srv/dest", "ARCHIVE_URL": s.URL + "/a"})
			err := run(t.Context(), env, "archive2disk")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			disk.mounted(t, "ext4", func(dir string) {
				if got, err := os.ReadFile(filepath.Join(dir, "etc/passwd")); err != nil || string(got) != secret {
					t.Errorf("outside is now %q, %v", got, err)
				}
				if outside, _ := os.ReadDir(dir); len(outside) != 3 { // lost+found, etc and srv
					t.Errorf("outside are now %v", outside)
				}
				if inside := filepath.Join(dir, "srv/dest", test.found); test.found != "" {
					if got, err := os.ReadFile(inside); err != nil || string(got) != "evil" {
						t.Errorf("inside is %q, %v", got, err)
					}
				}
			})
		})
	}
}

// An archive that is cut or changed is never a success.
func TestDamagedArchives(t *testing.T) {
	archive := archiveOf(t, entry{"a", "", tar.TypeReg, strings.Repeat("a", 100_000)}, entry{"b", "", tar.TypeReg, strings.Repeat("b", 512)})
	end := len(archive) - 1024 // of the last entry
	flipped := bytes.Clone(archive)
	flipped[3000] ^= 1
	gz := gzipped(t, archive)
	other := bytes.Clone(gz)
	other[len(other)-6] ^= 1 // of the sum at its end
	for name, test := range map[string]struct {
		archive  []byte
		checksum string
		want     string
	}{
		"in a file":         {archive[:50_000], "", "unexpected EOF"},
		"in a header":       {archive[:100_512+512+100], "", "unexpected EOF"},
		"between entries":   {archive[:end-1024], "", "it may be cut"},
		"before its end":    {archive[:end], "", "it may be cut"},
		"packed":            {gz[:len(gz)-20], "", "unexpected EOF"},
		"packed, the sum":   {other, "", "checksum"},
		"changed":           {flipped, "sha256:" + sumOf(archive), "should be " + sumOf(archive)},
		"no archive":        {[]byte(strings.Repeat("hello ", 1000)), "", "invalid tar header"},
		"nothing":           {nil, "", "it may be cut"},
		"a kind of sum":     {archive, "md5:00", "want sha256: or sha512:"},
		"a short sum":       {archive, "sha256:00", "64 hexadecimal digits"},
		"cut, with the sum": {archive[:end], "sha256:" + sumOf(archive), "should be " + sumOf(archive)},
	} {
		t.Run(name, func(t *testing.T) {
			disk := formatted(t, 8*mib, "mkfs.ext4", "-q", "-F")
			s := newServer(t, map[string][]byte{"/a": test.archive})
			env, said := newEnv(t, map[string]string{"DEST_DISK": disk.device, "FS_TYPE": "ext4", "ARCHIVE_URL": s.URL + "/a", "TARFILE_CHECKSUM": test.checksum})
			err := run(t.Context(), env, "archive2disk")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && len(said.asked) > 0 && !strings.Contains(err.Error(), "is no use") {
				t.Errorf("%v does not say what is on the disk", err)
			}
		})
	}
}

// A full file system is an error that says so.
func TestArchiveTooLarge(t *testing.T) {
	t.Parallel()
	disk := formatted(t, 8*mib, "mkfs.ext4", "-q", "-F")
	s := newServer(t, map[string][]byte{"/a": gzipped(t, archiveOf(t, entry{"zeros", "", tar.TypeReg, strings.Repeat("\x00", 12*mib)}))})
	env, _ := newEnv(t, map[string]string{"DEST_DISK": disk.device, "FS_TYPE": "ext4", "ARCHIVE_URL": s.URL + "/a"})
	if err := run(t.Context(), env, "archive2disk"); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Error(err)
	}
}
