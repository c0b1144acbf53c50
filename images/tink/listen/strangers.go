package listen

import (
	"sync"
	"time"
)

const (
	tellEvery    = time.Hour
	maxStrangers = 1024
)

// strangers is who was told of lately, by address and machine: one that asks every few
// seconds must not fill a timeline, by whatever name it calls the machine.
type strangers struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// first reports whether a stranger is to be told of now. Where there are too many they
// are not.
func (s *strangers) first(who string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, known := s.told[who]; known && now.Sub(at) < tellEvery {
		return false
	}
	if len(s.told) >= maxStrangers {
		for name, at := range s.told {
			if now.Sub(at) >= tellEvery {
				delete(s.told, name)
			}
		}
	}
	if len(s.told) >= maxStrangers {
		return false
	}
	s.told[who] = now
	return true
}
