package rqlite

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// packedParam is packed hardware as a parameter: text where it is JSON, and bytes where it
// is compressed. It is most of a registration, and is copied a dozen times on its way
// through raft's log, SQLite's and a snapshot: compressing costs less than any of those.
// On the way by HTTP the bytes become base64, and are stored so.
func packedParam(data []byte) any {
	if isJSON(data) {
		return string(data)
	}
	return data
}

// packedText is packed hardware in a row of JSON: in base64 where it is no text.
func packedText(data []byte) string {
	if isJSON(data) {
		return string(data)
	}
	return base64.StdEncoding.EncodeToString(data)
}

// isJSON reports whether packed hardware is text by itself.
func isJSON(data []byte) bool { return bytes.HasPrefix(data, []byte("{")) }

// inHex begins bytes that are read as text. Neither JSON nor base64 begins with it.
const inHex = "#"

// packedColumn is what to read of a column with packed hardware: rqlite takes what is no
// number for text, and a byte that is none for U+FFFD on its way by HTTP.
func packedColumn(column string) string {
	return "CASE typeof(" + column + ") WHEN 'blob' THEN '" + inHex + "' || hex(" + column + ") ELSE " + column + " END"
}

// unpackHardware is the hardware that was read as [packedColumn].
func unpackHardware(text string) (h registry.Hardware, err error) {
	data := []byte(text)
	if digits, ok := strings.CutPrefix(text, inHex); ok {
		data, err = hex.DecodeString(digits)
	} else if !isJSON(data) {
		data, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil {
		return h, fmt.Errorf("unpack hardware: %w", err)
	}
	return packed.Unpack(data)
}
