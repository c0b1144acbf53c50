package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dragonfly/registry"
	"dragonfly/registry/durable"
)

const (
	deadSuffix = ".json"
	// maxDead bounds the dead letters. When there are more the journal is not
	// drained any further: something is wrong that a person has to see.
	maxDead = 10_000
	// maxBuried bounds the letters that are shown.
	maxBuried = 100
)

func (j *Journal) deadDir() string { return filepath.Join(j.cfg.Dir, "dead") }

// Bury keeps a letter in a file of its own, named after its record: burying it
// again, after a crash, changes nothing. It is synced before Bury returns.
func (j *Journal) Bury(l registry.DeadLetter) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("bury a record: %w", err)
	}
	sum := sha256.Sum256(l.Record)
	path := filepath.Join(j.deadDir(), hex.EncodeToString(sum[:16])+deadSuffix)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if j.Stats().Dead >= maxDead {
		return fmt.Errorf("bury a record: there are %d dead letters in %s; look at them and take them away", maxDead, j.deadDir())
	}
	if err := durable.Replace(path, text); err != nil {
		return fmt.Errorf("bury a record: %w", err)
	}
	return j.countDead()
}

// Buried returns the newest letters, the newest first. One that cannot be read
// says so.
func (j *Journal) Buried() ([]registry.DeadLetter, error) {
	names, err := j.letters()
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters := make([]registry.DeadLetter, 0, len(names))
	for _, name := range names {
		var l registry.DeadLetter
		text, err := os.ReadFile(filepath.Join(j.deadDir(), name))
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			l.Why = "the file " + name + " cannot be read: " + err.Error()
		}
		letters = append(letters, l)
	}
	slices.SortStableFunc(letters, func(a, b registry.DeadLetter) int { return b.At.Compare(a.At) })
	return letters[:min(len(letters), maxBuried)], nil
}

func (j *Journal) letters() (names []string, err error) {
	entries, err := os.ReadDir(j.deadDir())
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), deadSuffix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (j *Journal) countDead() error {
	names, err := j.letters()
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.Dead = len(names)
	return nil
}
