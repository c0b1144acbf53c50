package action

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dragonfly/images/packed"
)

// Toolbox is where the programs are that the agent's image has no room for. They
// are fetched once, when an action wants the first of them.
type Toolbox struct {
	URL    string // of the archive
	SHA256 string // of the archive, in hexadecimal; what has another one is not unpacked
	Dir    string // where it is unpacked: bin, lib and etc
}

// maxTools bounds what is fetched, in bytes.
const maxTools = 64 << 20

// toolbox is the directory of the tools, fetched if they are not there yet.
func (e *Env) toolbox(ctx context.Context) (string, error) {
	if e.Tools == nil {
		return "", errors.New("this agent has no tools to make file systems with or to let anybody in; its image was built without")
	}
	if _, err := os.Stat(filepath.Join(e.Tools.Dir, "bin")); err == nil {
		return e.Tools.Dir, nil
	}
	if err := e.Tools.fetch(ctx, e); err != nil {
		return "", fmt.Errorf("get the tools: %w", err)
	}
	return e.Tools.Dir, nil
}

// fetch fetches the archive, and unpacks it once its hash is right.
func (t *Toolbox) fetch(ctx context.Context, env *Env) error {
	plain := *env
	plain.Vars = nil // an action's variables are about its image
	source, err := plain.newSource(t.URL)
	if err != nil {
		return err
	}
	fresh := t.Dir + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.MkdirAll(fresh, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	archive, err := os.CreateTemp(fresh, "archive-")
	if err != nil {
		return err
	}
	defer archive.Close()
	sum, span := sha256.New(), source.read(ctx, 0, -1)
	defer span.Close()
	n, err := io.Copy(io.MultiWriter(archive, sum), io.LimitReader(span, maxTools+1))
	switch got := hex.EncodeToString(sum.Sum(nil)); {
	case err != nil:
		return fmt.Errorf("%w; a server with a newer agent image has other tools: restart the machine for that image", err)
	case n > maxTools:
		return fmt.Errorf("%s is larger than %s", source, short(maxTools))
	case got != t.SHA256:
		return fmt.Errorf("the SHA-256 of %s is %s, and should be %s", source, got, t.SHA256)
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := packed.Unpack(archive, fresh); err != nil {
		return err
	}
	env.logf("fetched the tools, %s", short(n))
	return errors.Join(os.Remove(archive.Name()), os.Rename(fresh, t.Dir))
}

// tool runs one of the tools until it ends; what it prints becomes lines of the log.
func (e *Env) tool(ctx context.Context, name string, args ...string) error {
	cmd, err := e.toolCommand(ctx, name, args...)
	if err != nil {
		return err
	}
	e.logf("run %s %s", name, strings.Join(args, " "))
	return e.runProgram(ctx, cmd, name)
}

// toolCommand is one of the tools, about to run. Its libraries are its own, found by
// the loader that comes with them.
func (e *Env) toolCommand(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	dir, err := e.toolbox(ctx)
	if err != nil {
		return nil, err
	}
	loader := []string{"--library-path", filepath.Join(dir, "lib"), "--argv0", name, filepath.Join(dir, "bin", name)}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "lib", "ld.so"), append(loader, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"LC_ALL=C", "PATH=/nonexistent", // no tool may find another version of itself
		"MKE2FS_CONFIG=" + filepath.Join(dir, "etc/mke2fs.conf"),
		"LVM_SYSTEM_DIR=" + filepath.Join(dir, "etc"), "LVM_SUPPRESS_FD_WARNINGS=1", "DM_DISABLE_UDEV=1",
		"MDADM_NO_UDEV=1",
	}
	return cmd, nil
}
