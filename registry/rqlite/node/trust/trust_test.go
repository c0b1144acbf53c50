package trust

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
)

// found begins a cluster whose clock stands at now.
func found(t *testing.T, now *time.Time) *Folder {
	t.Helper()
	f, err := Found(t.TempDir(), "first", "127.0.0.1:4002")
	if err != nil {
		t.Fatal(err)
	}
	f.now = func() time.Time { return *now }
	return f
}

func everybody(string) error { return nil }

// serve answers on a port of 127.0.0.1 as the member f does: whoever joins is
// answered, and a member is told the ID it was taken for.
func serve(t *testing.T, f *Folder, admit Admit) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", f.ServerConfig(admit))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	host := Host{Folder: f, SealingKey: func() ([]byte, error) { return []byte("key"), nil },
		Check: func(string, string) ([]string, error) { return []string{f.Member().Address}, nil }}
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conn := raw.(*tls.Conn)
			go func() {
				defer conn.Close()
				if conn.Handshake() != nil {
					return
				}
				if IsJoin(conn.ConnectionState()) {
					host.Answer(conn) //nolint:errcheck // the other end hears of it
					return
				}
				id, _ := PeerID(conn.ConnectionState())
				io.WriteString(conn, id) //nolint:errcheck // the other end misses it
			}()
		}
	}()
	return l.Addr().String()
}

// invite is a token of f for the member at address.
func invite(t *testing.T, f *Folder, address string) string {
	t.Helper()
	text, _, err := f.Invite()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	parsed.address = address
	return parsed.String()
}

func join(t *testing.T, token string) (*Folder, error) {
	t.Helper()
	j := Joiner{DataDir: t.TempDir(), Token: token, Name: "second", Address: "127.0.0.1:4003"}
	return j.Join(t.Context(), func(key []byte) error {
		if string(key) != "key" {
			t.Errorf("sealing key %q", key)
		}
		return nil
	})
}

// hello connects to address as the member f, and returns who the other end took it
// for.
func hello(f *Folder, address string, admit Admit) (string, error) {
	cfg, err := f.ClientConfig(address, admit)
	if err != nil {
		return "", err
	}
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	return string(text), err
}

func TestAHostThatJoinedIsAMember(t *testing.T) {
	now := time.Now()
	first := found(t, &now)
	address := serve(t, first, everybody)
	second, err := join(t, invite(t, first, address))
	if err != nil {
		t.Fatal(err)
	}
	if m := second.Member(); m.ID == first.Member().ID || m.Address != "127.0.0.1:4003" || len(m.Seeds) != 1 {
		t.Errorf("%+v", m)
	}
	if as, err := hello(second, address, everybody); err != nil || as != second.Member().ID {
		t.Errorf("taken for %q, %v; want %s", as, err, second.Member().ID)
	}
	if at, ok := first.Admitted(second.Member().ID); !ok || at != "127.0.0.1:4003" {
		t.Errorf("admitted at %q, %v", at, ok)
	}
	if err := first.Forget(second.Member().ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := first.Admitted(second.Member().ID); ok {
		t.Error("admitted after it was forgotten")
	}
}

func TestWhoIsRefused(t *testing.T) {
	now := time.Now()
	first := found(t, &now)
	address := serve(t, first, everybody)
	second, err := join(t, invite(t, first, address))
	if err != nil {
		t.Fatal(err)
	}
	other := found(t, &now)
	closed := serve(t, first, func(string) error { return errors.New("removed") })
	for what, err := range map[string]error{
		"a member of another cluster":   second2(hello(other, address, everybody)),
		"one that is not admitted":      second2(hello(second, closed, everybody)),
		"a server that is not admitted": second2(hello(second, address, func(string) error { return errors.New("no") })),
	} {
		if err == nil {
			t.Errorf("%s is heard", what)
		}
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		io.WriteString(conn, "\x01raft without TLS\r\n\r\n") //nolint:errcheck // it is refused
		if got, _ := io.ReadAll(conn); strings.Contains(string(got), "n-") {
			t.Errorf("plain text got %q", got)
		}
		conn.Close()
	}
}

func second2(_ string, err error) error { return err }

func TestATokenIsGoodOnceAndForAWhile(t *testing.T) {
	now := time.Now()
	first := found(t, &now)
	address := serve(t, first, everybody)
	used := invite(t, first, address)
	if _, err := join(t, used); err != nil {
		t.Fatal(err)
	}
	foreign := invite(t, found(t, &now), address)
	good, _ := parseToken(invite(t, first, address))
	good.secret = "GUESSED"
	late := invite(t, first, address)
	for what, token := range map[string]string{"used": used, "of another cluster": foreign, "guessed": good.String(), "nonsense": "x", "cut off": late[:len(late)-30]} {
		if _, err := join(t, token); err == nil {
			t.Errorf("joined with a token that is %s", what)
		} else if strings.Contains(err.Error(), "GUESSED") {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
	now = now.Add(invitationLife + time.Second)
	if _, err := join(t, late); err == nil || !strings.Contains(err.Error(), "older than a quarter of an hour") {
		t.Errorf("joined with a token that is over: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(first.dir, invitationsFile))
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := parseToken(used)
	if strings.Contains(string(text), parsed.secret) {
		t.Error("the secret is on disk")
	}
}

func TestARefusedJoinLeavesNothing(t *testing.T) {
	now := time.Now()
	first := found(t, &now)
	address := serve(t, first, everybody)
	dir := t.TempDir()
	j := Joiner{DataDir: dir, Token: invite(t, first, address), Name: "second", Address: "127.0.0.1:4003"}
	if _, err := j.Join(t.Context(), func([]byte) error { return errors.New("disk full") }); err == nil {
		t.Fatal("joined without the key")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Join(ctx, func([]byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a join that was called off: %v", err)
	}
}

func TestCertificatesAreRenewed(t *testing.T) {
	now := time.Now()
	first := found(t, &now)
	second, err := join(t, invite(t, first, serve(t, first, everybody)))
	if err != nil {
		t.Fatal(err)
	}
	second.now = first.now
	address := serve(t, first, everybody)
	if renewed, err := second.Renew(); renewed || err != nil {
		t.Errorf("renewed at once: %v", err)
	}
	now = now.Add(certificateLife - 24*time.Hour)
	before := second.Expires()
	for _, f := range []*Folder{first, second} {
		if renewed, err := f.Renew(); !renewed || err != nil {
			t.Errorf("renewed: %v, %v", renewed, err)
		}
	}
	if !second.Expires().After(before) {
		t.Error("it expires as before")
	}
	now = now.Add(48 * time.Hour) // the old ones are over
	if as, err := hello(second, address, everybody); err != nil || as != second.Member().ID {
		t.Errorf("after the renewal: %q, %v", as, err)
	}
	again, err := Open(filepath.Dir(second.dir))
	if err != nil || !again.Expires().Equal(second.Expires()) {
		t.Errorf("read again: %v", err)
	}
}

func TestTheFolderIsPrivateAndWhole(t *testing.T) {
	now := time.Now()
	f := found(t, &now)
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Found(filepath.Dir(f.dir), "x", "127.0.0.1:1"); err == nil {
		t.Error("founded twice")
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, registry.ErrNoCluster) {
		t.Errorf("no folder: %v", err)
	}
	for _, name := range []string{memberFile, authorityFile, authorityKeyFile, certificateFile, keyFile} {
		path := filepath.Join(f.dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range [][]byte{nil, []byte("x"), good[:len(good)/2]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(filepath.Dir(f.dir)); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s with %d bytes: %v", name, len(bad), err)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{"10.0.0.1:4002", "[fd00::1]:4002", "rack-1.example.org:1", "a:65535"} {
		if err := CheckAddress(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "10.0.0.1", "0.0.0.0:4002", "[::]:4002", "224.0.0.1:4002", "a:0", "a:x", "a:65536", ":4002", "-a:1", "a..b:1", "a b:1", "a/b:1"} {
		if CheckAddress(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// FuzzToken reads tokens that may be anything.
func FuzzToken(f *testing.F) {
	f.Add("dragonfly-join/10.0.0.1:4002/" + strings.Repeat("0", 64) + "/SECRET")
	f.Add("dragonfly-join///")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseToken(text)
		if err == nil && parsed.String() != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, parsed)
		}
	})
}
