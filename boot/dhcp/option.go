package dhcp

import "errors"

// The options that matter here (RFC 2132; 82: RFC 3046; 93, 94, 97: RFC 4578).
const (
	optPad        = 0
	optVendor     = 43 // vendor-specific: PXE sub-options
	optOverload   = 52
	optMessage    = 53
	optServerID   = 54
	optWanted     = 55 // parameter request list
	optClass      = 60 // vendor class
	optServerName = 66 // boot server
	optBootFile   = 67
	optUserClass  = 77
	optRelay      = 82
	optArch       = 93
	optUNDI       = 94
	optGUID       = 97
	optIPXE       = 175 // iPXE's own sub-options
	optEnd        = 255
)

var (
	errTruncated = errors.New("an option runs past the end of its field")
	errNoEnd     = errors.New("the options have no end mark: the packet may be cut off")
	errSplit     = errors.New("an option came in several parts (RFC 3396), which no boot client needs")
)

// options reads options one after the other.
type options struct {
	rest []byte // empty after all of them where there is no end mark
	err  error  // why there are no more
}

// all ranges over the options up to the end mark. It never reads outside its bytes.
func (o *options) all(yield func(code byte, value []byte) bool) {
	for more := true; more && len(o.rest) > 0 && o.rest[0] != optEnd; {
		if o.rest[0] == optPad {
			o.rest = o.rest[1:]
			continue
		}
		if len(o.rest) < 2 || len(o.rest) < 2+int(o.rest[1]) {
			o.err = errTruncated
			return
		}
		code, value := o.rest[0], o.rest[2:2+int(o.rest[1])]
		o.rest = o.rest[2+len(value):]
		more = yield(code, value)
	}
}

// codes is a set of option codes.
type codes [4]uint64

// add reports whether code was not in the set before.
func (c *codes) add(code byte) bool {
	bit := uint64(1) << (code % 64)
	fresh := c[code/64]&bit == 0
	c[code/64] |= bit
	return fresh
}
