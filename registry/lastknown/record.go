package lastknown

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"

	"dragonfly/registry"
)

// versionSize is what stands before a bare record: the version, in eight bytes.
const versionSize = 8

// codec compresses whole records, which would be most of the file.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

const maxRecord = 64 << 20 // bytes; what unpacks to more is damaged

func newCodec() (codec, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(64<<10))
	if err != nil {
		return codec{}, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord))
	return codec{encoder, decoder}, err
}

// unpack reads a whole record.
func (c codec) unpack(data []byte) (m registry.Machine, err error) {
	text, err := c.decoder.DecodeAll(data, nil)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// fill is how full a page gets: machines mostly come in the order of their IDs, all of
// them, and are replaced by ones of the same size then.
const fill = 0.9

// store writes one machine; nil removes it.
func (c codec) store(tx *bolt.Tx, id string, m *registry.Machine) error {
	key := []byte(id)
	whole, brief, bare := tx.Bucket(wholeBucket), tx.Bucket(briefBucket), tx.Bucket(bareBucket)
	if m == nil {
		return errors.Join(whole.Delete(key), brief.Delete(key), bare.Delete(key))
	}
	for _, bucket := range []*bolt.Bucket{whole, brief, bare} {
		bucket.FillPercent = fill
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	short := *m
	short.Hardware = m.Hardware.Brief()
	version := binary.BigEndian.AppendUint64(nil, uint64(m.Version))
	return errors.Join(whole.Put(key, c.encoder.EncodeAll(text, nil)), put(brief, key, nil, short), put(bare, key, version, bareRecord{m.ID, m.Name, m.State, m.MACs, m.SeenAt, m.Deadline, m.Hardware.System.Serial, m.Hardware.System.UUID, m.BootNext}))
}

// put writes the JSON of value behind prefix.
func put(bucket *bolt.Bucket, key, prefix []byte, value any) error {
	text, err := json.Marshal(value)
	return errors.Join(err, bucket.Put(key, append(prefix, text...)))
}

// bareRecord is [registry.Machine.Bare] without the names of what it lacks.
type bareRecord struct {
	ID    string         `json:"id"`
	Name  string         `json:"n"`
	State registry.State `json:"s"`
	MACs  []registry.MAC `json:"m"`
	Seen  time.Time      `json:"t,omitzero"`

	Deadline time.Time `json:"d,omitzero"`
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
