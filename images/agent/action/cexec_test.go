package action

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/images/agent/disktest"
)

// rootFS is a device with a small Debian: this one's shell and a few programs.
func rootFS(t testing.TB, fill func(root string)) (device string) {
	t.Helper()
	return fileSystem(t, func(root string) {
		for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "etc", "usr/bin", "root"} {
			must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		}
		must(t, os.Symlink("usr/bin", filepath.Join(root, "bin")))
		for _, program := range []string{"/bin/sh", "/bin/cat", "/bin/sleep", "/bin/ls", "/usr/bin/setsid"} {
			install(t, root, program, filepath.Join("/usr/bin", filepath.Base(program)))
			for _, word := range strings.Fields(disktest.Run(t, "ldd", program)) {
				if strings.HasPrefix(word, "/") {
					install(t, root, word, word)
				}
			}
		}
		if fill != nil {
			fill(root)
		}
	})
}

func install(t testing.TB, root, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	must(t, err)
	defer in.Close()
	must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(to)), 0o755))
	out, err := os.OpenFile(filepath.Join(root, to), os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(out, in)
	must(t, err)
	must(t, out.Close())
}

// said runs cexec and returns what it wrote into the log, without the commands.
func said(t testing.TB, ctx context.Context, device string, vars ...string) (lines []string, err error) {
	t.Helper()
	env, _ := asked(t, append([]string{"BLOCK_DEVICE=" + device, "FS_TYPE=ext4", "CHROOT=y", "DEFAULT_INTERPRETER=/bin/sh -c"}, vars...)...)
	var mu sync.Mutex
	env.Log = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(line, "run ") {
			lines = append(lines, line)
		}
	}
	a, _ := Lookup("cexec")
	err = a.Run(ctx, env)
	if left, _ := filepath.Glob("/run/volume-*"); len(left) > 0 {
		t.Errorf("mounts are left: %q", left)
	}
	if left, _ := filepath.Glob("/run/group-*"); len(left) > 0 {
		t.Errorf("control groups are left: %q", left)
	}
	return lines, err
}

func TestCexec(t *testing.T) {
	device := rootFS(t, nil)
	for name, test := range map[string]struct {
		vars []string
		want string
	}{
		"a shell":    {[]string{"CMD_LINE=echo one; printf 'two\\rthree\\n\\n'; echo four >&2; printf end"}, "one|two|three|four|end"},
		"words":      {[]string{"CMD_LINE=ls -d /etc ; ls -d /root;", "DEFAULT_INTERPRETER="}, "/etc|/root"},
		"variables":  {[]string{"CMD_LINE=echo $HELLO $HOME", "HELLO=world"}, "world /root"},
		"its places": {[]string{"CMD_LINE=ls -d /dev/null /proc/self/exe /sys/class/block; pwd"}, "/dev/null|/proc/self/exe|/sys/class/block|/"},
		"it writes":  {[]string{"CMD_LINE=echo kept >/etc/kept; echo gone >/run/gone; echo gone >/tmp/gone; cat /run/gone"}, "gone"},
	} {
		got, err := said(t, t.Context(), device, test.vars...)
		if err != nil || strings.Join(got, "|") != test.want {
			t.Errorf("%s: %q, %v; want %s", name, got, err, test.want)
		}
	}
	inside(t, device, func(root string) {
		if got := state(t, filepath.Join(root, "etc/kept")); !strings.HasSuffix(got, "kept\n") {
			t.Error(got)
		}
		for _, dir := range []string{"run", "tmp", "dev", "proc"} {
			if left, _ := os.ReadDir(filepath.Join(root, dir)); len(left) > 0 {
				t.Errorf("%s has %v", dir, left)
			}
		}
	})
	for _, mounted := range []string{"/dev/null", "/proc/self", "/sys/class"} {
		if _, err := os.Stat(mounted); err != nil {
			t.Errorf("this system lost %s: %v", mounted, err)
		}
	}
}

func TestCexecFails(t *testing.T) {
	device := rootFS(t, nil)
	for says, vars := range map[string][]string{
		"/bin/sh: exit status 3: it did not work":    {"CMD_LINE=echo it did not work; exit 3"},
		"has no program growpart":                    {"CMD_LINE=growpart /dev/sda 1", "DEFAULT_INTERPRETER="},
		"/bin/bash: fork/exec /bin/bash: no such":    {"CMD_LINE=true", "DEFAULT_INTERPRETER=/bin/bash -c"},
		"CMD_LINE is not set":                        nil,
		"there is no command in it":                  {"CMD_LINE= ; ", "DEFAULT_INTERPRETER="},
		"CHROOT is not set: the agent has no":        {"CMD_LINE=true", "CHROOT="},
		`UPDATE_RESOLV_CONF is "maybe"`:              {"CMD_LINE=true", "UPDATE_RESOLV_CONF=maybe"},
		"UPDATE_RESOLV_CONF: there are no name serv": {"CMD_LINE=true", "UPDATE_RESOLV_CONF=true", "ROOTED=y"},
	} {
		if slices.Contains(vars, "ROOTED=y") {
			continue // see TestCexecFindsNames
		}
		if got, err := said(t, t.Context(), device, vars...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %q", says, err, got)
		}
	}
}

// TestCexecFindsNames has each form of resolv.conf that is met.
func TestCexecFindsNames(t *testing.T) {
	for name, fill := range map[string]func(root string){
		"none": nil,
		"a file": func(root string) {
			must(t, os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte("theirs"), 0o600))
		},
		"a link": func(root string) {
			must(t, os.Symlink("../run/systemd/resolve/stub-resolv.conf", filepath.Join(root, "etc/resolv.conf")))
		},
		"another link": func(root string) { must(t, os.Symlink("/usr/lib/resolv.conf", filepath.Join(root, "etc/resolv.conf"))) },
		"a link out": func(root string) {
			must(t, os.Symlink("../../../../../root/ours", filepath.Join(root, "etc/resolv.conf")))
		},
	} {
		device := rootFS(t, fill)
		var before string
		look := func(root string) string {
			return state(t, filepath.Join(root, "etc/resolv.conf")) + state(t, filepath.Join(root, "usr/lib/resolv.conf")) + state(t, filepath.Join(root, "root/ours"))
		}
		inside(t, device, func(root string) { before = strings.ReplaceAll(look(root), root, "") })
		want, err := os.ReadFile("/etc/resolv.conf")
		must(t, err)
		got, err := said(t, t.Context(), device, "CMD_LINE=cat /etc/resolv.conf", "UPDATE_RESOLV_CONF=true")
		if err != nil || strings.Join(got, "\n") != strings.TrimRight(strings.ReplaceAll(string(want), "\n\n", "\n"), "\n") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
		inside(t, device, func(root string) {
			if after := strings.ReplaceAll(look(root), root, ""); after != before {
				t.Errorf("%s: was %q and is %q", name, before, after)
			}
		})
	}
	env, _ := asked(t, "BLOCK_DEVICE=/dev/null")
	env.Root = t.TempDir()
	if err := (&chroot{volume: &volume{env: env}}).resolve(); err == nil || !strings.Contains(err.Error(), "there are no name servers") {
		t.Error(err)
	}
}

// TestCexecLeavesNothingRunning cancels a program whose children have become
// daemons, and ends one that leaves such a child behind.
func TestCexecLeavesNothingRunning(t *testing.T) {
	device := rootFS(t, nil)
	const daemons = "CMD_LINE=for i in 1 2 3; do setsid sh -c 'trap \"\" HUP TERM INT; cd /etc; while :; do sleep 987654; done' & done; "
	started := time.Now()
	if got, err := said(t, t.Context(), device, daemons+"echo done"); err != nil || !slices.Equal(got, []string{"done"}) {
		t.Errorf("%q, %v", got, err)
	}
	cancelled := errors.New("it was cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(300*time.Millisecond, func() { cancel(cancelled) })
	if _, err := said(t, ctx, device, daemons+"sleep 987654"); !errors.Is(err, cancelled) {
		t.Errorf("%v; want the cause", err)
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		if line, _ := os.ReadFile(file); strings.Contains(string(line), "987654") {
			t.Errorf("%s is left: %q", file, line)
		}
	}
}

func TestLineLogIsBounded(t *testing.T) {
	var lines []string
	l := &lineLog{log: func(_ string, args ...any) { lines = append(lines, args[0].(string)) }}
	for range maxLines + 10 {
		_, _ = l.Write([]byte("x\n"))
	}
	l.log = func(format string, args ...any) { lines = append(lines, format) }
	l.end()
	if len(lines) != maxLines+1 || lines[maxLines] != "%d lines more were printed" || l.omitted != 10 {
		t.Errorf("%d lines, %d left out", len(lines), l.omitted)
	}
	lines = nil
	long := &lineLog{log: func(_ string, args ...any) { lines = append(lines, args[0].(string)) }}
	_, _ = long.Write([]byte(strings.Repeat("y", 2500)))
	long.end()
	if len(lines) != 3 || len(lines[0]) != maxLine || len(lines[2]) != 500 {
		t.Errorf("%d lines", len(lines))
	}
}
