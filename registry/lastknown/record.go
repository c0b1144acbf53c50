package lastknown

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/encoding/json"
	bolt "go.etcd.io/bbolt"

	"dragonfly/registry"
	"dragonfly/registry/packed"
)

// record is a machine as the file has it. Until it is saved it is kept so, too: a rack's
// hardware in pieces would be most of what the garbage collector looks at.
type record struct {
	short    registry.Machine // as lists show it
	hardware []byte           // all of it, packed
	failed   error            // it could not be packed
}

func newRecord(m registry.Machine) *record {
	r := &record{short: m, hardware: m.Packed}
	if r.hardware == nil {
		r.hardware, r.failed = packed.Pack(m.Hardware)
	}
	r.short.Hardware, r.short.Packed = m.Hardware.Brief(), nil
	return r
}

// whole is the machine; not found for nil: it is gone.
func (r *record) whole() (m registry.Machine, found bool, err error) {
	if r == nil {
		return m, false, nil
	}
	m = r.short
	m.Hardware, err = packed.Unpack(r.hardware)
	return m, true, errors.Join(r.failed, err)
}

// versionSize is what stands before a bare record: the version, in eight bytes.
const versionSize = 8

// read reads a whole machine; not found where there is none of this ID.
func read(tx *bolt.Tx, id []byte) (m registry.Machine, found bool, err error) {
	brief := tx.Bucket(briefBucket).Get(id)
	if brief == nil {
		return m, false, nil
	}
	if m, err = readBrief(brief); err != nil {
		return m, false, err
	}
	m.Hardware, err = packed.Unpack(tx.Bucket(hardwareBucket).Get(id))
	return m, true, err
}

// fill is how full a page gets: machines mostly come in the order of their IDs, all of
// them, and are replaced by ones of the same size then.
const fill = 0.9

// store writes one machine; nil removes it.
func store(tx *bolt.Tx, id string, r *record) error {
	key := []byte(id)
	hardware, brief, bare := tx.Bucket(hardwareBucket), tx.Bucket(briefBucket), tx.Bucket(bareBucket)
	if r == nil {
		return errors.Join(hardware.Delete(key), brief.Delete(key), bare.Delete(key))
	}
	for _, bucket := range []*bolt.Bucket{hardware, brief, bare} {
		bucket.FillPercent = fill
	}
	m := r.short
	version := binary.BigEndian.AppendUint64(nil, uint64(m.Version))
	return errors.Join(r.failed, hardware.Put(key, r.hardware), put(brief, key, nil, m), put(bare, key, version, bareRecord{m.ID, m.Name, m.State, m.MACs, m.SeenAt, m.Deadline, m.Hardware.System.Serial, m.Hardware.System.UUID, m.BootNext}))
}

// valueRoom is about how many bytes a brief record has.
const valueRoom = 1 << 10

// put writes the JSON of value behind prefix.
func put(bucket *bolt.Bucket, key, prefix []byte, value any) error {
	text, err := json.Append(append(make([]byte, 0, valueRoom), prefix...), value, 0)
	return errors.Join(err, bucket.Put(key, text))
}

// bareRecord is [registry.Machine.Bare] without the names of what it lacks.
type bareRecord struct {
	ID    string         `json:"id"`
	Name  string         `json:"n"`
	State registry.State `json:"s"`
	MACs  []registry.MAC `json:"m"`
	Seen  time.Time      `json:"t"`

	Deadline time.Time `json:"d"`
	Serial   string    `json:"sn,omitempty"`
	UUID     string    `json:"u,omitempty"`

	BootNext registry.BootTarget `json:"b,omitempty"`
}

func versionOf(bare []byte) int64 {
	if len(bare) < versionSize {
		return 0
	}
	return int64(binary.BigEndian.Uint64(bare))
}

func readBare(data []byte) (registry.Machine, error) {
	var r bareRecord
	if len(data) < versionSize {
		return registry.Machine{}, fmt.Errorf("a machine in %d bytes", len(data))
	}
	err := json.Unmarshal(data[versionSize:], &r)
	return registry.Machine{ID: r.ID, Name: r.Name, State: r.State, MACs: r.MACs, SeenAt: r.Seen, Deadline: r.Deadline, BootNext: r.BootNext, Version: versionOf(data),
		Hardware: registry.Hardware{System: registry.System{Serial: r.Serial, UUID: r.UUID}}}, err
}

func readBrief(data []byte) (m registry.Machine, err error) { return m, json.Unmarshal(data, &m) }

// shape is m as q asks for it.
func shape(m registry.Machine, q registry.Query) registry.Machine {
	if q.Bare {
		return m.Bare()
	}
	if q.Brief {
		m.Hardware = m.Hardware.Brief()
	}
	return m
}
