package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/registry"
)

// open opens a journal that is closed when the test ends.
func open(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// again is what another process finds that opens the journal after a crash.
func again(t *testing.T, j *Journal) *Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, j.cfg)
}

func mustAppend(t *testing.T, j *Journal, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := j.Append([]byte(r), true); err != nil {
			t.Fatal(err)
		}
	}
}

// held is what the journal holds, in order.
func held(t *testing.T, j *Journal) (records []string) {
	t.Helper()
	if err := j.Each(func(r []byte) error { records = append(records, string(r)); return nil }); err != nil {
		t.Fatal(err)
	}
	return records
}

func wantHeld(t *testing.T, j *Journal, want ...string) {
	t.Helper()
	if got := held(t, j); !slices.Equal(got, want) {
		t.Errorf("the journal holds %q, want %q", got, want)
	}
	if n := j.Stats().Records; n != len(want) {
		t.Errorf("it counts %d records, want %d", n, len(want))
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAppendAndDrain(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir(), SegmentBytes: 64})
	mustAppend(t, j, "one", "two", "three", "four", "five")
	wantHeld(t, j, "one", "two", "three", "four", "five")
	j = again(t, j)
	wantHeld(t, j, "one", "two", "three", "four", "five")

	var drained []string
	for {
		n, err := j.Drain(2, func(records [][]byte) error {
			for _, r := range records {
				drained = append(drained, string(r))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if want := "one two three four five"; strings.Join(drained, " ") != want {
		t.Errorf("drained %q, want %q", drained, want)
	}
	if left := files(t, j.cfg.Dir+"/*"+segmentSuffix); len(left) != 0 {
		t.Errorf("settled files are still there: %v", left)
	}
	mustAppend(t, j, "six")
	wantHeld(t, j, "six")
}

func TestDrainThatFailsKeeps(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, j, "one", "two")
	refused := errors.New("away")
	if n, err := j.Drain(9, func([][]byte) error { return refused }); n != 0 || !errors.Is(err, refused) {
		t.Errorf("settled %d, %v", n, err)
	}
	wantHeld(t, j, "one", "two")
}

// A crash after some records of a file were settled brings them back: whoever
// settles does it by an id, so twice is once.
func TestSettledRecordsComeBackAfterACrash(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, j, "one", "two")
	if _, err := j.Drain(1, func([][]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, j, "two")
	wantHeld(t, again(t, j), "one", "two")
}

func TestAppendersShareASync(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	syncs := 0
	j.create = func(path string) (file, error) {
		f, err := createFile(path)
		return &faulty{file: f, sync: func() error { syncs++; return nil }}, err
	}
	j.disk.Lock() // as if the disk were busy while all of them come
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			if err := j.Append(fmt.Append(nil, i), true); err != nil {
				t.Error(err)
			}
		})
	}
	for {
		j.mu.Lock()
		waiting := j.waiting.records
		j.mu.Unlock()
		if waiting == 100 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	j.disk.Unlock()
	group.Wait()
	if syncs != 1 || len(held(t, j)) != 100 {
		t.Errorf("%d syncs for %d records, want one for 100", syncs, len(held(t, j)))
	}
}

func TestFull(t *testing.T) {
	for name, cfg := range map[string]Config{
		"records": {MaxRecords: 10},
		"bytes":   {MaxBytes: 10 * (frameHead + 80)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Dir = t.TempDir()
			j := open(t, cfg)
			record := make([]byte, 80)
			appended := map[bool]int{}
			for _, vital := range []bool{false, true} {
				for j.Append(record, vital) == nil {
					appended[vital]++
				}
			}
			if appended[false] != 8 || appended[true] != 2 {
				t.Errorf("took %v; want 8 for everybody and the last 2 for what is vital", appended)
			}
			err := j.Append(record, true)
			if !errors.Is(err, registry.ErrJournalFull) || !errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("a full journal: %v", err)
			}
			if s := j.Stats(); !s.Full || s.Refused != 3 || s.Records != 10 {
				t.Errorf("stats %+v", s)
			}
			if _, err := j.Drain(5, func([][]byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if name == "records" {
				mustAppend(t, j, "room again")
			}
		})
	}
}

// faulty is a file on a disk that fails.
type faulty struct {
	file
	room int // bytes until the disk is full; 0: never
	sync func() error
}

func (f *faulty) Write(b []byte) (int, error) {
	if f.room > 0 && len(b) > f.room {
		n, _ := f.file.Write(b[:f.room])
		return n, syscall.ENOSPC
	}
	return f.file.Write(b)
}

func (f *faulty) Sync() error {
	if f.sync != nil {
		return f.sync()
	}
	return f.file.Sync()
}

func TestDiskFails(t *testing.T) {
	for name, bad := range map[string]faulty{
		"full in the middle of a record": {room: frameHead + 1},
		"sync fails":                     {sync: func() error { return syscall.EIO }},
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, Config{Dir: t.TempDir(), SegmentBytes: 1})
			mustAppend(t, j, "before")
			j.create = func(path string) (file, error) {
				f, err := createFile(path)
				return &faulty{f, bad.room, bad.sync}, err
			}
			for range 3 {
				if err := j.Append([]byte("refused"), true); !errors.Is(err, registry.ErrJournalFull) {
					t.Errorf("a disk that fails: %v", err)
				}
			}
			if s := j.Stats(); s.Refused != 3 || !s.Full {
				t.Errorf("stats %+v", s)
			}
			j.create = createFile
			mustAppend(t, j, "after")
			wantHeld(t, j, "before", "after")
			wantHeld(t, again(t, j), "before", "after")
		})
	}
}

// A disk that is really full: a file system of 64 KiB.
func TestRealDiskIsFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root; TestDiskFails injects the same error")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("this host does not let us mount: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	j := open(t, Config{Dir: dir})
	kept, record := 0, make([]byte, 4000)
	var err error
	for ; err == nil; kept++ {
		err = j.Append(record, true)
	}
	kept--
	if !errors.Is(err, registry.ErrJournalFull) || !errors.Is(err, syscall.ENOSPC) || kept < 8 {
		t.Errorf("after %d records: %v", kept, err)
	}
	if n := len(held(t, again(t, j))); n != kept {
		t.Errorf("%d records were acknowledged and %d are there", kept, n)
	}
}

func TestTornEnd(t *testing.T) {
	whole := appendFrame(nil, frame{time.Now(), []byte("torn")})
	for cut := range len(whole) {
		j := open(t, Config{Dir: t.TempDir()})
		mustAppend(t, j, "one", "two")
		spoil(t, j, func(b []byte) []byte { return append(b, whole[:cut]...) })
		j = again(t, j)
		wantHeld(t, j, "one", "two")
		if n := j.Stats().Damaged; n != 0 {
			t.Errorf("a torn end of %d bytes counts as %d damaged", cut, n)
		}
		mustAppend(t, j, "three")
		wantHeld(t, again(t, j), "one", "two", "three")
	}
}

// spoil changes the last file of the journal behind its back.
func spoil(t *testing.T, j *Journal, change func([]byte) []byte) {
	t.Helper()
	path := j.segments[len(j.segments)-1].path
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamageInTheMiddle(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, j, "one", "two", "three")
	spoil(t, j, func(b []byte) []byte { b[frameHead+len("one")+frameHead] ^= 1; return b })
	j = again(t, j)
	wantHeld(t, j, "one", "three")
	if j.Stats().Damaged == 0 {
		t.Error("the damage was not counted")
	}
	if _, err := j.Drain(9, func([][]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if kept := files(t, j.deadDir()+"/*.damaged"); len(kept) != 1 {
		t.Errorf("the damaged file was not kept aside: %v", kept)
	}
}

func TestDamageWhileOpen(t *testing.T) {
	for what, spoiled := range map[string]func([]byte) []byte{
		"overwritten": func(b []byte) []byte { clear(b); return b },
		"cut short":   func([]byte) []byte { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			j := open(t, Config{Dir: t.TempDir()})
			mustAppend(t, j, "one", "two")
			spoil(t, j, spoiled)
			if n, err := j.Drain(9, func([][]byte) error { t.Error("there is nothing to apply"); return nil }); n != 0 || err != nil {
				t.Errorf("settled %d, %v", n, err)
			}
			wantHeld(t, j)
			if kept := files(t, j.deadDir()+"/*.damaged"); len(kept) != 1 {
				t.Errorf("the damaged file was not kept aside: %v", kept)
			}
		})
	}
}

func TestDeadLetters(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for range 2 { // twice is once
		for i, record := range []string{"\xff not text", "second"} {
			if err := j.Bury(registry.DeadLetter{At: at.Add(time.Duration(i)), Why: "because", Record: []byte(record)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	j = again(t, j)
	letters, err := j.Buried()
	if err != nil || len(letters) != 2 || string(letters[0].Record) != "second" || string(letters[1].Record) != "\xff not text" {
		t.Errorf("buried %+v, %v", letters, err)
	}
	if n := j.Stats().Dead; n != 2 {
		t.Errorf("%d dead letters are counted", n)
	}
}

func TestClockJumps(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	noon := time.UnixMilli(1_795_500_000_000)
	for _, jump := range []time.Duration{0, -1000 * time.Hour, 1000 * time.Hour} {
		j.now = func() time.Time { return noon.Add(jump) }
		mustAppend(t, j, jump.String())
	}
	j = again(t, j)
	wantHeld(t, j, "0s", "-1000h0m0s", "1000h0m0s")
	if at := j.Stats().Oldest; !at.Equal(noon) {
		t.Errorf("the oldest is of %v, want %v", at, noon)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	j := open(t, Config{Dir: t.TempDir()})
	if _, err := Open(j.cfg); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
}

// TestKilled kills a process that appends, at any moment. What it has told before
// is there.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("JOURNAL_KILLED"); dir != "" {
		appendForever(dir)
		return
	}
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for run := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "JOURNAL_KILLED="+dir, fmt.Sprint("JOURNAL_RUN=", run))
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 200+37*run {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // it was killed
	}
	j := open(t, Config{Dir: dir})
	for _, record := range held(t, j) {
		delete(acknowledged, record)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d records were acknowledged and are gone", len(acknowledged))
	}
	if j.Stats().Records < 5*200 {
		t.Errorf("only %d records were appended", j.Stats().Records)
	}
}

func appendForever(dir string) {
	j, err := Open(Config{Dir: dir, SegmentBytes: 4096})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var print sync.Mutex
	for i := range 4 {
		go func() {
			for n := 0; ; n++ {
				record := fmt.Sprintf("run %s appender %d record %d", os.Getenv("JOURNAL_RUN"), i, n)
				if err := j.Append([]byte(record), true); err == nil {
					print.Lock()
					fmt.Println(record)
					print.Unlock()
				}
			}
		}()
	}
	select {}
}

func FuzzNextFrame(f *testing.F) {
	two := appendFrame(appendFrame(nil, frame{time.UnixMilli(1), []byte("one")}), frame{time.UnixMilli(2), []byte(magic + magic)})
	f.Add(two)
	f.Add(two[3:])
	f.Add([]byte(magic + "\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for at := 0; ; {
			fr, skipped, length := nextFrame(b[at:])
			if length == 0 {
				break
			}
			if got := appendFrame(nil, fr); string(got) != string(b[at+skipped:at+skipped+length]) {
				t.Fatalf("frame %x was read as %x", b[at+skipped:at+skipped+length], got)
			}
			at += skipped + length
		}
		// A whole frame behind anything is found, unless that anything ends in a frame
		// that is right and reaches into it.
		all := appendFrame(bytes.Clone(b), frame{time.UnixMilli(3), []byte("last")})
		for at := 0; at <= len(b); {
			_, skipped, length := nextFrame(all[at:])
			if at += skipped; length == 0 {
				t.Fatal("the frame at the end was not found")
			}
			at += length
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(appenders, " at once"), func(b *testing.B) {
			j, err := Open(Config{Dir: b.TempDir(), MaxBytes: 1 << 40, MaxRecords: 1 << 40})
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			record := make([]byte, 4000)
			b.SetParallelism(max(1, appenders/2))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := j.Append(record, true); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
