package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A frame is one record in a segment:
//
//	4 bytes  magic
//	4 bytes  length of the record, big endian
//	8 bytes  when it was appended, milliseconds since 1970
//	4 bytes  CRC-32C of the twelve bytes before and of the record
//	record
//
// The magic starts with 0xff, which no UTF-8 text contains: a record that is
// text cannot bring a frame of its own.
const (
	magic     = "\xffDFJ"
	frameHead = 20
	// maxRecord bounds one record: the largest registration is a quarter of it.
	maxRecord = 4 << 20
)

// frame is a record and when it was appended.
type frame struct {
	at     time.Time
	record []byte
}

// appendFrame adds a frame to b.
func appendFrame(b []byte, f frame) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.record)))
	b = binary.BigEndian.AppendUint64(b, uint64(f.at.UnixMilli()))
	b = binary.BigEndian.AppendUint32(b, checksum(b[start+4:start+16], f.record))
	return append(b, f.record...)
}

// nextFrame finds the first whole frame in b. It returns the frame, how many
// bytes before it are not part of any, and how long it is; a length of 0 where
// there is no more. The record is a part of b.
func nextFrame(b []byte) (f frame, skipped, length int) {
	for {
		i := bytes.Index(b[skipped:], []byte(magic))
		if i < 0 {
			return frame{}, len(b), 0
		}
		skipped += i
		if f, length := parseFrame(b[skipped:]); length > 0 {
			return f, skipped, length
		}
		skipped++ // damaged, or torn: the next one may be whole
	}
}

// parseFrame reads the frame at the start of b; a length of 0 says that there is
// none.
func parseFrame(b []byte) (f frame, length int) {
	if len(b) < frameHead || string(b[:4]) != magic {
		return frame{}, 0
	}
	n := int64(binary.BigEndian.Uint32(b[4:]))
	if n > maxRecord || frameHead+n > int64(len(b)) {
		return frame{}, 0
	}
	record := b[frameHead : frameHead+n]
	if checksum(b[4:16], record) != binary.BigEndian.Uint32(b[16:]) {
		return frame{}, 0
	}
	return frame{time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))), record}, frameHead + len(record)
}

func checksum(head, record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once, by the package
	return crc32.Update(crc32.Checksum(head, table), table, record)
}
