package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// prefix starts the name of everything that one run of the lab makes, followed
// by the run's process id: how a later run knows what it may take away.
const prefix = "dflab-"

var ownName = regexp.MustCompile(`^` + prefix + `(\d+)(-|$)`)

// namespaces lists the network namespaces that have a name.
func namespaces() (map[string]bool, error) {
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is no directory before the first namespace
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	return names, nil
}

// abandoned reports whether name belongs to a run of the lab that is gone.
func abandoned(name string, running func(pid int) bool) bool {
	match := ownName.FindStringSubmatch(name)
	if match == nil {
		return false
	}
	pid, err := strconv.Atoi(match[1])
	return err == nil && !running(pid)
}

// labRunning reports whether pid is a lab. The name is compared because the
// kernel uses numbers again.
func labRunning(pid int) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.HasPrefix(string(comm), "dragonfly-lab")
}

// removeLeftovers takes away what killed runs left: the processes inside their
// namespaces, the namespaces, and their directories under dir.
func removeLeftovers(ctx context.Context, dir string) error {
	names, err := namespaces()
	if err != nil {
		return err
	}
	var errs []error
	for name := range names {
		if abandoned(name, labRunning) {
			errs = append(errs, killInside(ctx, name), command(ctx, "ip", "netns", "delete", name))
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	errs = append(errs, err)
	for _, path := range paths {
		if abandoned(filepath.Base(path), labRunning) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// killInside ends the processes of a namespace, by their ids.
func killInside(ctx context.Context, namespace string) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", namespace).Output()
	if err != nil {
		return fmt.Errorf("list the processes of %s: %w", namespace, err)
	}
	for _, field := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end process %d of %s: %w", pid, namespace, err)
		}
	}
	return nil
}
