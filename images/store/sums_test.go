package store

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"dragonfly/registry"
)

func TestFindSum(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 128)
	for _, c := range []struct{ text, want string }{
		{a + "  disk.raw\n", a},
		{"# a comment\n" + strings.ToUpper(a) + " *disk.raw\n" + b[:64] + " *other.raw\n", a},
		{a + "  ./images/disk.raw\r\n", a},
		{b + "  disk.raw\n", b},
		{"SHA256 (disk.raw) = " + a + "\nSHA256 (other.raw) = " + b[:64] + "\n", a},
		{"SHA512 (disk.raw) = " + b, b},
		{a + "\n", a}, // it lies beside the file
		{a + "  disk.raw\n" + a + "  disk.raw\n", a},
		{"", ""},
		{a + "  disk.raw.xz\n", ""},
		{a + "\n" + a + "\n", ""},
		{a[:40] + "  disk.raw\n", ""}, // a SHA-1
		{"MD5 (disk.raw) = " + a[:32], ""},
		{a + "  disk.raw\n" + b[:64] + "  disk.raw\n", ""},
	} {
		sum, err := findSum(c.text, "disk.raw")
		if hex.EncodeToString(sum) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %x, %v", c.text, sum, err)
		}
	}
}

// signer is somebody with a key.
func signer(t *testing.T) (e *openpgp.Entity, public string) {
	t.Helper()
	e, err := openpgp.NewEntity("a distribution", "", "images@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return e, text.String()
}

func TestSums(t *testing.T) {
	raw := small(t)
	sum := sha512.Sum512(raw)
	good := hex.EncodeToString(sum[:]) + "  disk.raw\n"
	bad := strings.Repeat("0", 128) + "  disk.raw\n"
	e, key := signer(t)
	_, otherKey := signer(t)
	var detached, binary, inline bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&detached, e, strings.NewReader(good), nil); err != nil {
		t.Fatal(err)
	}
	if err := openpgp.DetachSign(&binary, e, strings.NewReader(good), nil); err != nil {
		t.Fatal(err)
	}
	w, err := clearsign.Encode(&inline, e.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(good))
	w.Close()
	files := map[string][]byte{"/disk.raw": raw, "/good": []byte(good), "/bad": []byte(bad), "/none": []byte("\n"), "/huge": make([]byte, maxSums+1),
		"/good.asc": detached.Bytes(), "/good.gpg": binary.Bytes(), "/inline": inline.Bytes(), "/forged": bytes.Replace(inline.Bytes(), []byte(good[:8]), []byte("00000000"), 1)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write(body)
	}))
	defer server.Close()
	at := func(name string) string {
		if name == "" {
			return ""
		}
		return server.URL + "/" + name
	}
	for _, c := range []struct{ sums, signature, key, checked, words string }{
		{"good", "", "", "sums", ""},
		{"good", "good.asc", key, "signature", ""},
		{"good", "good.gpg", key, "signature", ""},
		{"inline", "", key, "signature", ""},
		{"inline", "", "", "sums", ""}, // the signature is not looked at
		{"bad", "", "", "", "the file is not the one that was expected"},
		{"missing", "", "", "", "404"},
		{"none", "", "", "", "no SHA-256 or SHA-512 sum of \"disk.raw\""},
		{"huge", "", "", "", "no file of sums"},
		{"good", "good.asc", otherKey, "", "signature"},
		{"good", "good.gpg", otherKey, "", "signature"},
		{"bad", "good.asc", key, "", "signature"},
		{"good", "missing", key, "", "404"},
		{"good", "bad", key, "", "signature"},
		{"good", "", key, "", "is not signed in itself"},
		{"inline", "", otherKey, "", "signature"},
		{"forged", "", key, "", "signature"},
		{"good", "good.asc", "no key", "", "the key cannot be read"},
	} {
		s, _ := started(t, t.TempDir())
		src := registry.ImageSource{URL: at("disk.raw"), Sums: at(c.sums), Signature: at(c.signature), Key: c.key}
		if c.words != "" {
			s.refused(t, src, c.words)
			continue
		}
		image := s.imported(t, src)
		if o := image.Origins[0]; o.Checked != c.checked || o.SHA512 != hex.EncodeToString(sum[:]) || o.SHA256 != hexSum(raw) {
			t.Errorf("%+v: %+v", c, o)
		}
	}
}
