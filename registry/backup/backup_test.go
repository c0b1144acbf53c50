package backup_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/registry/backup"
)

var files = map[string]string{backup.Database: strings.Repeat("SQLite format 3\x00 and so on. ", 5000), backup.SealingKey: "dragonfly key 1 00ff\n"}

func written(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	m := backup.Manifest{Version: "v1.2.3", At: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), Schema: 6, Machines: 3}
	err := backup.Write(&out, m, backup.Source{Name: backup.Database, From: strings.NewReader(files[backup.Database])},
		backup.Source{Name: backup.SealingKey, From: strings.NewReader(files[backup.SealingKey])})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	got := map[string]string{}
	m, err := backup.Read(bytes.NewReader(written(t)), func(f backup.File, r io.Reader) error {
		text, err := io.ReadAll(r)
		got[f.Name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != "v1.2.3" || m.Schema != 6 || m.Machines != 3 || m.At.Hour() != 12 || len(m.Files) != 2 {
		t.Errorf("manifest: %+v", m)
	}
	for name, want := range files {
		if got[name] != want {
			t.Errorf("%s came back with %d bytes, want %d", name, len(got[name]), len(want))
		}
	}
}

// Every tar opens it, once it is unpacked, and what it makes is its owner's alone.
func TestAnOrdinaryTar(t *testing.T) {
	plain, err := zstd.NewReader(bytes.NewReader(written(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	cmd := exec.CommandContext(t.Context(), "tar", "-tv")
	cmd.Stdin = plain
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "-rw------- ") != 3 {
		t.Errorf("tar: %v\n%s", err, out)
	}
}

// One byte that is missing or another is always found out.
func TestDamage(t *testing.T) {
	whole := written(t)
	check := func(what string, text []byte) {
		t.Helper()
		if _, err := backup.Read(bytes.NewReader(text), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v, want damage", what, err)
		}
	}
	check("nothing", nil)
	check("text", []byte("dear diary"))
	for cut := range whole {
		check("cut short", whole[:cut])
	}
	for at := range whole {
		other := bytes.Clone(whole)
		other[at] ^= 0x10
		// Some bits of zstd mean nothing: then all is as it was.
		var got strings.Builder
		_, err := backup.Read(bytes.NewReader(other), func(_ backup.File, r io.Reader) error {
			_, err := io.Copy(&got, r)
			return err
		})
		if err == nil && got.String() != files[backup.Database]+files[backup.SealingKey] {
			t.Errorf("byte %d changed, the files with it, and nobody saw it", at)
		}
	}
	check("something behind", append(bytes.Clone(whole), "more"...))
}

func TestANewerFormat(t *testing.T) {
	_, err := backup.Read(bytes.NewReader(archive(t, `{"format":2,"version":"v9"}`)), nil)
	if err == nil || errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), "newer dragonfly") {
		t.Errorf("a newer format: %v", err)
	}
}

// What a manifest names is not written wherever it says.
func TestForeignFiles(t *testing.T) {
	for _, manifest := range []string{`{"format":1}`, `{"format":1,"files":[{"name":"../../etc/passwd"}]}`,
		`{"format":1,"files":[{"name":"database.sqlite"},{"name":"secrets.key"},{"name":"x"}]}`, `[]`, `{`} {
		_, err := backup.Read(bytes.NewReader(archive(t, manifest)), func(f backup.File, _ io.Reader) error {
			t.Errorf("%s was read for %s", f.Name, manifest)
			return nil
		})
		if !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v", manifest, err)
		}
	}
}

// What went wrong with the file that is written is no damage of the archive.
func TestItsReaderFails(t *testing.T) {
	full := errors.New("no space left on device")
	_, err := backup.Read(bytes.NewReader(written(t)), func(backup.File, io.Reader) error { return full })
	if !errors.Is(err, full) || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a full disk: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(written(f))
	f.Add(archive(f, `{"format":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		size := int64(0)
		m, err := backup.Read(bytes.NewReader(text), func(f backup.File, r io.Reader) error {
			n, err := io.Copy(io.Discard, r)
			size += n
			return err
		})
		if err == nil && (len(m.Files) != 2 || size != m.Files[0].Bytes+m.Files[1].Bytes) {
			t.Errorf("it passed with %d bytes: %+v", size, m)
		}
	})
}
