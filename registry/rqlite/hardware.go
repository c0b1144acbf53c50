package rqlite

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/klauspost/compress/s2"

	"dragonfly/registry"
)

// packFrom is how many bytes of JSON are worth to be compressed: a page of the
// database has 4096, whatever of it is used.
const packFrom = 512

// packHardware is hardware as it is stored: JSON, and where that is long compressed
// (S2) and in base64. It is most of a registration, and is copied a dozen times on
// its way through raft's log, SQLite's and a snapshot: compressing costs less than
// any of those, and leaves a third.
func packHardware(h registry.Hardware) (string, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return "", fmt.Errorf("store hardware: %w", err)
	}
	if len(text) < packFrom {
		return string(text), nil
	}
	return base64.StdEncoding.EncodeToString(s2.Encode(nil, text)), nil
}

// maxHardwareJSON is more than any registration may have, in bytes; what claims to
// unpack to more is damaged.
const maxHardwareJSON = 64 << 20

// unpackHardware is what packHardware has stored.
func unpackHardware(text string) (h registry.Hardware, err error) {
	data := []byte(text)
	if !strings.HasPrefix(text, "{") {
		if data, err = decompress(text); err != nil {
			return h, fmt.Errorf("hardware: %w", err)
		}
	}
	if err := jsonv2.Unmarshal(data, &h); err != nil { // half of a list's time, and half as long as encoding/json
		return h, fmt.Errorf("hardware: %w", err)
	}
	return h, nil
}

func decompress(text string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if size, err := s2.DecodedLen(packed); err != nil || size > maxHardwareJSON {
		return nil, errors.Join(err, fmt.Errorf("%d bytes do not unpack", len(packed)))
	}
	return s2.Decode(nil, packed)
}
