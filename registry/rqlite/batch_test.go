package rqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slow is an [Executor] that takes its time, and notes how many changes each
// transaction had.
type slow struct {
	takes time.Duration
	mu    sync.Mutex
	had   []int
}

// Execute counts the operations of a transaction: they are rows of no bytes, so that
// n of them, in brackets and with commas between, are n+1 bytes.
func (s *slow) Execute(_ context.Context, sql []string, params [][]any) (int, string, error) {
	s.mu.Lock()
	s.had = append(s.had, len(params[0][0].(string))-1)
	s.mu.Unlock()
	time.Sleep(s.takes)
	return len(sql), "", nil
}

func (*slow) Query(context.Context, string, []any, bool) ([][]any, string, error) {
	return nil, "", errors.ErrUnsupported
}

// crowd lets clients write one change after the other, each as soon as the one before
// is written.
func crowd(t *testing.T, b *batcher, clients, each int) (took time.Duration) {
	begin := time.Now()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for range each {
				w := &writes{}
				w.rows[recordOperations] = []byte(",") // a row without anything in it
				if err := b.write(t.Context(), []string{fmt.Sprint("client ", c)}, w); err != nil {
					t.Error(err)
				}
			}
		})
		if c == 0 {
			synctest.Wait() // the first change is being written
		}
	}
	all.Wait()
	return time.Since(begin)
}

func TestBatches(t *testing.T) {
	for _, tt := range []struct {
		name          string
		clients, each int
		want          []int // changes of each transaction
		within        time.Duration
	}{
		{"one client waits for nobody", 1, 4, []int{1, 1, 1, 1}, 40 * time.Millisecond},
		{"a crowd stays together", 8, 3, []int{1, 8, 8, 7}, 40*time.Millisecond + maxGather},
		{"a second transaction begins when it is full", maxBatch + 1, 1, []int{1, maxBatch}, 10 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{takes: 10 * time.Millisecond}
				took := crowd(t, &batcher{db: &database{direct: s}}, tt.clients, tt.each)
				if !slices.Equal(s.had, tt.want) || took > tt.within {
					t.Errorf("%v in %s, want %v within %s", s.had, took, tt.want, tt.within)
				}
				time.Sleep(time.Second) // until whoever gathers has given up
			})
		})
	}
}

// TestOneMachineHoldsUpNobody has a machine ask for many changes of itself at once,
// and another one for one.
func TestOneMachineHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batcher{db: &database{direct: &slow{takes: 10 * time.Millisecond}}}
		write := func(machine string) {
			w := &writes{}
			w.rows[recordOperations] = []byte(",") // a row without anything in it
			if err := b.write(t.Context(), []string{machine}, w); err != nil {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() { write("loud") })
		}
		synctest.Wait() // all of them wait, and one is being written
		begin := time.Now()
		write("quiet")
		if took, most := time.Since(begin), 20*time.Millisecond+maxGather; took > most {
			t.Errorf("the other one waited for %s, want at most %s", took, most)
		}
		all.Wait()
		time.Sleep(time.Second) // until whoever gathers has given up
	})
}
