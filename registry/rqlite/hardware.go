package rqlite

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// packedText is packed hardware as it is stored: in base64 where it is no text. It is most
// of a registration, and is copied a dozen times on its way through raft's log, SQLite's
// and a snapshot: compressing costs less than any of those.
func packedText(data []byte) string {
	if bytes.HasPrefix(data, []byte("{")) {
		return string(data)
	}
	return base64.StdEncoding.EncodeToString(data)
}

// unpackHardware is the hardware whose packedText is stored.
func unpackHardware(text string) (registry.Hardware, error) {
	if isText(text) {
		return packed.Unpack([]byte(text))
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return registry.Hardware{}, fmt.Errorf("unpack hardware: %w", err)
	}
	return packed.Unpack(data)
}

// isText reports whether packed hardware is JSON.
func isText(packed string) bool { return strings.HasPrefix(packed, "{") }
