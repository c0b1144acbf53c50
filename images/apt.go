package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dragonfly/registry/durable"
)

const (
	// suite is the Debian release that the images are made of.
	suite = "trixie"
	// keyring is where Debian's own package debian-archive-keyring puts the keys
	// that sign the archive.
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	// listsFresh is how old the package lists may become before they are read
	// again.
	listsFresh = 24 * time.Hour
)

// apt is a private apt root: its own sources, lists and state, so that nothing
// of the host changes and nothing installed on it changes the outcome.
type apt struct {
	dir  string // absolute; holds sources.list, lists/, debs/, unpacked/
	arch string
	log  *slog.Logger
}

// openAPT makes the root, or opens the one that is there.
func openAPT(o Options) (*apt, error) {
	if err := checkTools(keyring); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(o.Cache, o.Arch))
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "debs", "unpacked"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("make the package cache: %w", err)
		}
	}
	a := &apt{dir: dir, arch: o.Arch, log: o.Log}
	return a, a.writeSources(o.Mirror)
}

// checkTools says early, and with the package to install, what is missing.
func checkTools(keyring string) error {
	for _, tool := range []struct{ name, pkg string }{{"apt-get", "apt"}, {"apt-cache", "apt"}, {"dpkg-deb", "dpkg"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return fmt.Errorf("fetch Debian packages: %s is missing; install the package %s", tool.name, tool.pkg)
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("fetch Debian packages: %s is missing; install the package debian-archive-keyring", keyring)
	}
	return nil
}

// writeSources writes the root's own sources list, with the address that the
// host's sources name unless one is given. A changed list makes the package
// lists stale.
func (a *apt) writeSources(mirror string) error {
	security := ""
	if mirror == "" {
		all, err := hostArchives(os.DirFS("/"))
		if err != nil {
			return err
		}
		if mirror, security, err = debian(all); err != nil {
			return err
		}
	}
	list := sourcesList(mirror, security)
	file := filepath.Join(a.dir, "sources.list")
	if old, err := os.ReadFile(file); err == nil && string(old) == list {
		return nil
	}
	if err := os.Remove(a.stamp()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return durable.Replace(file, []byte(list))
}

func sourcesList(mirror, security string) string {
	line := "deb [signed-by=" + keyring + "] %s %s main non-free-firmware\n"
	list := fmt.Sprintf(line, mirror, suite) + fmt.Sprintf(line, mirror, suite+"-updates")
	if security != "" {
		list += fmt.Sprintf(line, security, suite+"-security")
	}
	return list
}

// stamp is touched after each update of the package lists.
func (a *apt) stamp() string { return filepath.Join(a.dir, "updated") }

// update reads the package lists unless they are fresh. Where that fails but
// older lists are there, it goes on with those: a build must not need the
// network for what it has.
func (a *apt) update(ctx context.Context) error {
	info, err := os.Stat(a.stamp())
	if err == nil && time.Since(info.ModTime()) < listsFresh {
		return nil
	}
	if _, failed := a.run(ctx, "apt-get", "update", "-q", "--error-on=any"); failed != nil {
		if err != nil {
			return fmt.Errorf("read the package lists of Debian %s: %w", suite, failed)
		}
		a.log.Warn("package lists are old and could not be read again", "err", failed)
		return nil
	}
	return durable.Replace(a.stamp(), nil)
}

// depends returns the first package that a package depends on and whose name
// starts with prefix: how the kernel's metapackage names the kernel.
func (a *apt) depends(ctx context.Context, name, prefix string) (string, error) {
	text, err := a.run(ctx, "apt-cache", "depends", "--important", name)
	if err != nil {
		return "", fmt.Errorf("look up package %s: %w", name, err)
	}
	for line := range lines(text) {
		if need, found := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); found && strings.HasPrefix(need, prefix) {
			return need, nil
		}
	}
	return "", fmt.Errorf("look up package %s: it depends on no %s*", name, prefix)
}

// run runs a command in the private root and returns what it printed. The root
// directory itself holds no packages: apt-get names no address for one that
// already lies where it would put it.
func (a *apt) run(ctx context.Context, command string, args ...string) ([]byte, error) {
	return a.runIn(ctx, a.dir, command, args...)
}

func (a *apt) runIn(ctx context.Context, dir, command string, args ...string) ([]byte, error) {
	if strings.HasPrefix(command, "apt") {
		args = append(a.options(), args...)
	}
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %.2000s", command, err, strings.TrimSpace(problems.String()))
	}
	return out.Bytes(), nil
}

// options point apt at the private root, and away from the host's state and
// pins, either of which would choose other versions.
func (a *apt) options() []string {
	var args []string
	for _, option := range []string{
		"Dir::Etc::sourcelist=" + filepath.Join(a.dir, "sources.list"), "Dir::Etc::sourceparts=-",
		"Dir::Etc::preferences=/dev/null", "Dir::Etc::preferencesparts=-", "APT::Default-Release=",
		"Dir::State=" + a.dir, "Dir::State::status=/dev/null",
		"Dir::State::lists=" + filepath.Join(a.dir, "lists"), "Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"APT::Architecture=" + a.arch, "APT::Architectures=" + a.arch,
		// The cache may be where apt's own user cannot look.
		"APT::Sandbox::User=root",
	} {
		args = append(args, "-o", option)
	}
	return args
}
