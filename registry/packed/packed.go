// Package packed makes the hardware of a machine small, for the database and for the
// copy of it on this host's disk. It is most of what either of them keeps.
package packed

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/segmentio/encoding/json"

	"dragonfly/registry"
)

// Least is how many bytes of JSON are worth to be compressed: a page of the database
// has 4096, whatever of it is used.
const Least = 512

// most is more than any registration may have, in bytes; what claims to unpack to more
// is damaged.
const most = 64 << 20

// scratch is what packing needs for a moment. It is several times what comes of it, and
// a data centre that comes back would leave 50 MB of it a second to be collected.
type scratch struct {
	text, packed []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Pack is h as JSON, and from [Least] bytes on as a block of S2: a third of that. One
// begins with a brace, and the other does not, since its length is before it, of which
// the first byte is above 127 then.
func Pack(h registry.Hardware) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var err error
	if s.text, err = json.Append(s.text[:0], h, 0); err != nil {
		return nil, fmt.Errorf("pack hardware: %w", err)
	}
	if len(s.text) < Least {
		return bytes.Clone(s.text), nil
	}
	s.packed = s2.Encode(s.packed, s.text)
	return bytes.Clone(s.packed), nil
}

// Unpack is what [Pack] was given.
func Unpack(data []byte) (h registry.Hardware, err error) {
	text, err := plain(data)
	if err == nil { // most of a list's time; the strings of h are pieces of text
		text, err = json.Parse(text, &h, json.ZeroCopy)
	}
	if err == nil && len(text) > 0 {
		err = fmt.Errorf("%d bytes behind it", len(text))
	}
	if err != nil {
		return h, fmt.Errorf("unpack hardware: %w", err)
	}
	return h, nil
}

// plain is the JSON that data has, and none of the bytes of data.
func plain(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte("{")) {
		return bytes.Clone(data), nil
	}
	return decompress(data)
}

func decompress(data []byte) ([]byte, error) {
	if size, err := s2.DecodedLen(data); err != nil || size > most {
		return nil, errors.Join(err, fmt.Errorf("%d bytes do not unpack", len(data)))
	}
	return s2.Decode(nil, data)
}
