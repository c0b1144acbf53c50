package registry

import (
	"crypto/rand"
	"strings"
	"time"
)

// idDigits are in the order of their bytes, and none is taken for another one.
const idDigits = "0123456789abcdefghjkmnpqrstvwxyz"

// newID is an ID of a machine that was not there before: "m-" and 17 characters.
func newID() string { return "m-" + ordered(time.Now(), 8) }

// newOp is the ID of an operation.
func newOp() string { return ordered(time.Now(), 16) }

// ordered is nine digits of the time in milliseconds, until the year 3084, and random
// ones behind them. What is written together so is together in every index that it is
// in: random IDs cost a database a page each, and a fifth of a write.
func ordered(at time.Time, random int) string {
	var id strings.Builder
	for shift := 40; shift >= 0; shift -= 5 {
		id.WriteByte(idDigits[at.UnixMilli()>>shift&31])
	}
	bytes := make([]byte, random)
	_, _ = rand.Read(bytes) // which does not fail
	for _, b := range bytes {
		id.WriteByte(idDigits[b&31])
	}
	return id.String()
}
