package tink

import (
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Appending to a message. A field with its zero value is left out, which a reader
// takes for the same.

func appendText(b []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
}

func appendTexts(b []byte, number protowire.Number, texts []string) []byte {
	for _, text := range texts { // of several an empty one counts
		b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
	}
	return b
}

func appendNumber(b []byte, number protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), n)
}

func appendMessage(b []byte, number protowire.Number, message []byte) []byte {
	if len(message) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), message)
}

// appendTime appends a google.protobuf.Timestamp; no time is none.
func appendTime(b []byte, number protowire.Number, at time.Time) []byte {
	if at.IsZero() {
		return b
	}
	stamp := appendNumber(nil, 1, uint64(at.Unix()))
	return appendMessage(b, number, appendNumber(stamp, 2, uint64(at.Nanosecond())))
}

// field is one field of a message as it came.
type field struct {
	number protowire.Number
	varint uint64 // of a number
	bytes  []byte // of a text or a message; nil for a number
}

// fields reads a message field by field. What is neither a number nor has a length is
// passed over, as no field here is.
func fields(b []byte, each func(f field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("read a field: %w", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			f.number = 0
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return fmt.Errorf("read field %d: %w", number, protowire.ParseError(n))
		}
		b = b[n:]
		if err := each(f); err != nil {
			return fmt.Errorf("read field %d: %w", number, err)
		}
	}
	return nil
}

// text puts a field into to, unless it is a number.
func (f field) text(to *string) error {
	if f.bytes == nil {
		return nil
	}
	if !utf8.Valid(f.bytes) {
		return fmt.Errorf("%.40q is not UTF-8", f.bytes)
	}
	*to = string(f.bytes)
	return nil
}

// texts appends a field to to, unless it is a number.
func (f field) texts(to *[]string) error {
	if f.bytes == nil {
		return nil
	}
	var text string
	err := f.text(&text)
	*to = append(*to, text)
	return err
}

// number puts a field into to, unless it has a length.
func (f field) number64(to *int64) error {
	if f.bytes == nil {
		*to = int64(f.varint)
	}
	return nil
}

// time puts a google.protobuf.Timestamp into to.
func (f field) time(to *time.Time) error {
	var seconds, nanos int64
	err := fields(f.bytes, func(part field) error {
		switch part.number {
		case 1:
			return part.number64(&seconds)
		case 2:
			return part.number64(&nanos)
		}
		return nil
	})
	*to = time.Time{}
	if err == nil && (seconds != 0 || nanos != 0) {
		*to = time.Unix(seconds, nanos).UTC()
	}
	return err
}
