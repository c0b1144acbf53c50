package images

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fakeTools puts stand-ins for Debian's tools first in PATH. They write their
// command to a log; apt-get serves one package whose content is its name, and
// fails where a file "offline" stands in the root.
func fakeTools(t *testing.T) (*apt, func() string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{
		"apt-get": `shift $(($# - $(echo "$*" | sed 's/.* -o [^ ]* //' | wc -w)))
echo "apt-get $*" >> "$FAKE/log"
[ ! -e "$FAKE/offline" ] || { echo 'no network' >&2; exit 100; }
case "$*" in
*--print-uris*) echo "'http://m.example/kernel' kernel_1%3a6.12_amd64.deb 6 SHA256:$(printf kernel | sha256sum | cut -d' ' -f1)" ;;
download*) printf "${CONTENT:-kernel}" > kernel_1%3a6.12_amd64.deb ;;
esac`,
		"apt-cache": `printf 'linux-image-amd64\n  Depends: initramfs-tools\n  Depends: linux-image-6.12-amd64\n'`,
		"dpkg-deb":  `echo "dpkg-deb $1" >> "$FAKE/log"; mkdir -p "$3/boot" && cp "$2" "$3/boot/"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("FAKE", dir)
	a := &apt{dir: filepath.Join(dir, "root"), arch: "amd64", log: slog.New(slog.DiscardHandler)}
	if err := os.MkdirAll(filepath.Join(a.dir, "debs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(a.dir, "unpacked"), 0o755); err != nil {
		t.Fatal(err)
	}
	return a, func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		os.Remove(filepath.Join(dir, "log"))
		return string(text)
	}
}

func TestFetchOnlyWhatIsMissing(t *testing.T) {
	a, ran := fakeTools(t)
	const lookup = "apt-get download -q --print-uris kernel\n"
	for _, want := range []string{lookup + "apt-get download -q kernel=1:6.12\n", lookup} {
		debs, err := a.fetch(t.Context(), "kernel")
		if err != nil {
			t.Fatal(err)
		}
		if len(debs) != 1 || debs[0].Version != "1:6.12" || debs[0].Name != "kernel" {
			t.Errorf("got %+v", debs)
		}
		if got := ran(); got != want {
			t.Errorf("ran\n%swant\n%s", got, want)
		}
	}
}

func TestFetchRefuses(t *testing.T) {
	a, _ := fakeTools(t)
	if _, err := a.fetch(t.Context(), "kernel", "other"); err == nil || !strings.Contains(err.Error(), "apt-get knows 1 of 2") {
		t.Errorf("an unknown package: got %v", err)
	}
	t.Setenv("CONTENT", "tampered")
	if _, err := a.fetch(t.Context(), "kernel"); err == nil || !strings.Contains(err.Error(), "the list says") {
		t.Errorf("another hash: got %v", err)
	}
}

func TestUpdate(t *testing.T) {
	a, ran := fakeTools(t)
	offline := filepath.Join(filepath.Dir(a.dir), "offline")
	if err := os.WriteFile(offline, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.update(t.Context()); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("no lists and no network: got %v", err)
	}
	if err := os.Remove(offline); err != nil {
		t.Fatal(err)
	}
	ran()
	for _, want := range []string{"apt-get update -q --error-on=any\n", ""} {
		if err := a.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ran(); got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	}
	old := time.Now().Add(-2 * listsFresh)
	if err := os.Chtimes(a.stamp(), old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(offline, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.update(t.Context()); err != nil || ran() == "" {
		t.Errorf("old lists and no network: got %v, want a try and then the old lists", err)
	}
}

func TestUnpackOnce(t *testing.T) {
	a, ran := fakeTools(t)
	debs, err := a.fetch(t.Context(), "kernel")
	if err != nil {
		t.Fatal(err)
	}
	ran()
	for _, want := range []string{"dpkg-deb -x\n", ""} {
		if _, err := a.unpack(t.Context(), debs[0]); err != nil {
			t.Fatal(err)
		}
		if got := ran(); got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	}
}

func TestDepends(t *testing.T) {
	a, _ := fakeTools(t)
	if got, err := a.depends(t.Context(), "linux-image-amd64", "linux-image-"); err != nil || got != "linux-image-6.12-amd64" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := a.depends(t.Context(), "x", "firmware-"); err == nil || !strings.Contains(err.Error(), "it depends on no firmware-*") {
		t.Errorf("got %v", err)
	}
}

func TestParseURIs(t *testing.T) {
	got, err := parseURIs([]byte("Reading...\n'http://m/a' a_1.2-3_all.deb 9 SHA256:ab\n"))
	want := []deb{{Name: "a", Version: "1.2-3", SHA256: "ab", path: "a_1.2-3_all.deb"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, line := range []string{"'x' a_1_all.deb 9", "'x' a_1_all.deb 9 MD5:ab", "'x' ../a_1_all.deb 9 SHA256:ab", "'x' a.deb 9 SHA256:ab"} {
		if _, err := parseURIs([]byte(line)); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}

func TestCheckTools(t *testing.T) {
	fakeTools(t)
	if err := checkTools("/no/keyring.gpg"); err == nil || !strings.Contains(err.Error(), "install the package debian-archive-keyring") {
		t.Errorf("no keyring: got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if err := checkTools("/"); err == nil || !strings.Contains(err.Error(), "apt-get is missing; install the package apt") {
		t.Errorf("no apt-get: got %v", err)
	}
}

func TestSourcesList(t *testing.T) {
	golden(t, "sources.list", sourcesList("http://m.example/debian", "http://m.example/debian-security"))
}
