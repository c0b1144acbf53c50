package rqlite

import (
	"encoding/base64"
	"fmt"
	"strings"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// packHardware is hardware as it is stored: as [packed.Pack] has it, and in base64 where
// that is no text. It is most of a registration, and is copied a dozen times on its way
// through raft's log, SQLite's and a snapshot: compressing costs less than any of those.
func packHardware(h registry.Hardware) (string, error) {
	data, err := packed.Pack(h)
	if err != nil || isText(string(data)) {
		return string(data), err
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// unpackHardware is what packHardware has stored.
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
