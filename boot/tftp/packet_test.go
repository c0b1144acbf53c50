package tftp

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	const head = "\x00\x01a\x00octet\x00"
	for packet, want := range map[string]request{
		head:                               {name: "a"},
		"\x00\x01a\x00octet":               {name: "a"}, // cut off
		"\x00\x01\x00octet\x00":            {},
		"\x00\x01a\x00NetASCII\x00":        {name: "a", netascii: true},
		head + "tsize\x000\x00":            {name: "a", size: true},
		head + "BlkSize\x001468\x00":       {name: "a", blockSize: 1468},
		head + "blksize\x00512\x00":        {name: "a", blockSize: 512},
		head + "blksize\x0065464\x00":      {name: "a", blockSize: 65464},
		head + "blksize\x00511\x00":        {name: "a"},
		head + "blksize\x0065465\x00":      {name: "a"},
		head + "blksize\x00-1\x00":         {name: "a"},
		head + "windowsize\x004\x00":       {name: "a"},
		head + "timeout\x001\x00tsize\x00": {name: "a", size: true}, // its value was cut off
		head + "tsize":                     {name: "a"},
		head + "\x00\x00\x00\x00":          {name: "a"}, // padded
	} {
		if got, err := parseRequest([]byte(packet)); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", packet, got, err, want)
		}
	}
	for packet, want := range map[string]error{
		"": errMalformed, "\x00\x01a": errMalformed, "\x00\x01ab": errMalformed, "\x00\x04\x00\x01": errMalformed,
		"\x00\x06tsize\x000\x00": errMalformed, "\x00\x02a\x00octet\x00": errWrite,
	} {
		if got, err := parseRequest([]byte(packet)); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v; want %v", packet, got, err, want)
		}
	}
}

func TestAgree(t *testing.T) {
	for _, c := range []struct {
		request
		most, block int
		oack        string
	}{
		{request{}, 1468, 512, ""},
		{request{size: true}, 1468, 512, "\x00\x06tsize\x009\x00"},
		{request{blockSize: 1432}, 1468, 1432, "\x00\x06blksize\x001432\x00"},
		{request{blockSize: 65464, size: true}, 1468, 1468, "\x00\x06blksize\x001468\x00tsize\x009\x00"},
		{request{blockSize: 1432}, 100, 512, "\x00\x06blksize\x00512\x00"}, // RFC 1350's is always there
	} {
		if block, oack := c.agree(c.most, 9); block != c.block || string(oack) != c.oack {
			t.Errorf("%+v over %d: %d, %q; want %d, %q", c.request, c.most, block, oack, c.block, c.oack)
		}
	}
}

// An OACK is to be no larger than its request, so that a flood of forged requests is not
// made larger by being answered.
func TestOACKIsNoLarger(t *testing.T) {
	ask := "\x00\x01undionly.kpxe\x00octet\x00tsize\x000\x00blksize\x001468\x00"
	r, err := parseRequest([]byte(ask))
	if err != nil {
		t.Fatal(err)
	}
	if _, oack := r.agree(1468, 1<<30); len(oack) > len(ask) {
		t.Errorf("%d bytes are answered by %d", len(ask), len(oack))
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{plainRequest, optionRequest, "\x00\x04\x00\x01", "\x00\x05\x00\x01text", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if r, err := parseRequest(packet); err == nil {
			if block, oack := r.agree(1468, 1<<20); block < defaultBlock || block > 1468 || len(oack) > 0 != r.negotiates() {
				t.Errorf("%q: blocks of %d, OACK %q", packet, block, oack)
			}
		}
		if _, err := acknowledges(packet, 1); err != nil && strings.ContainsRune(err.Error(), 0) {
			t.Errorf("%q: %v", packet, err)
		}
	})
}
