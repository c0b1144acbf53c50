package rqlite

import (
	"encoding/json"

	"dragonfly/registry"
)

// belongings are the tables that hold rows of a machine, by the column "machine",
// beside those of its addresses.
func belongings() []string {
	return []string{"machine_hardware", "machine_tags", "machine_labels", "machine_search", "hardware_history"}
}

// putBelongings fills the tables beside machines. What did not change is not
// written again.
func putBelongings(m registry.Machine) ([]statement, error) {
	hardware, err := json.Marshal(m.Hardware)
	if err != nil {
		return nil, err
	}
	id := text(m.ID)
	batch := []statement{{
		name: "store hardware",
		sql: `INSERT INTO machine_hardware (machine, data) VALUES (?1 ->> '$', ?2 -> '$')
			ON CONFLICT (machine) DO UPDATE SET data = excluded.data WHERE data <> excluded.data`,
		args: []any{id, string(hardware)},
	}, {
		name: "store search text",
		sql: `INSERT INTO machine_search (machine, text) VALUES (?1 ->> '$', ?2 ->> '$')
			ON CONFLICT (machine) DO UPDATE SET text = excluded.text WHERE text <> excluded.text`,
		args: []any{id, text(searched(m))},
	}}
	tags, err := putTags(m)
	if err != nil {
		return nil, err
	}
	labels, err := putLabels(m)
	return append(append(batch, tags...), labels...), err
}

// putTags stores the tags as filters compare them. A new machine has none yet.
func putTags(m registry.Machine) (batch []statement, err error) {
	if m.Version > 0 {
		batch = append(batch, statement{name: "free tags", sql: `DELETE FROM machine_tags WHERE machine = ?1 ->> '$'`, args: []any{text(m.ID)}})
	}
	if len(m.Tags) == 0 {
		return batch, nil
	}
	folded := make([]string, 0, len(m.Tags))
	for _, tag := range m.Tags {
		folded = append(folded, registry.Fold(tag))
	}
	param, err := list(folded)
	return append(batch, statement{
		name: "store tags",
		sql:  `INSERT OR IGNORE INTO machine_tags (tag, machine) SELECT value, ?1 ->> '$' FROM json_each(?2)`,
		args: []any{text(m.ID), param},
	}), err
}

// putLabels stores the labels as filters compare them.
func putLabels(m registry.Machine) (batch []statement, err error) {
	if m.Version > 0 {
		batch = append(batch, statement{name: "free labels", sql: `DELETE FROM machine_labels WHERE machine = ?1 ->> '$'`, args: []any{text(m.ID)}})
	}
	if len(m.Labels) == 0 {
		return batch, nil
	}
	folded := make(map[string]string, len(m.Labels))
	for key, value := range m.Labels {
		folded[key] = registry.Fold(value)
	}
	param, err := json.Marshal(folded)
	return append(batch, statement{
		name: "store labels",
		sql:  `INSERT INTO machine_labels (key, value, machine) SELECT key, value, ?1 ->> '$' FROM json_each(?2)`,
		args: []any{text(m.ID), string(param)},
	}), err
}
