package action

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// writefile writes a file into a file system, with the directories above it. A file
// that is there gets the new contents and stays what it is: one that a link leads to
// is written, and the link stays.
func writefile(ctx context.Context, env *Env) error {
	f, err := env.fileToWrite()
	if err != nil {
		return err
	}
	v, err := env.mount(ctx, f.device, f.fsType, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
	if err != nil {
		return err
	}
	if err := f.write(v); err != nil {
		return errors.Join(fmt.Errorf("write %s on %s: %w", f.name, f.device, err), v.close())
	}
	env.logf("wrote %s on %s, %d bytes", f.name, f.device, len(f.contents))
	return v.close()
}

// newFile is a file as an action's environment asks for it.
type newFile struct {
	device, fsType, name string
	contents             string
	file, dir            owner
}

func (e *Env) fileToWrite() (f newFile, err error) {
	var errs [7]error
	f.device, errs[0] = e.must("DEST_DISK")
	f.name, errs[1] = e.must("DEST_PATH")
	if f.name != "" && (!strings.HasPrefix(f.name, "/") || strings.HasSuffix(f.name, "/") || path.Clean(f.name) == "/") {
		errs[2] = fmt.Errorf("DEST_PATH is %q; want the absolute path of a file", f.name)
	}
	f.fsType, f.contents = e.text("FS_TYPE", ""), e.Vars["CONTENTS"]
	f.file.uid, errs[3] = e.number("UID", 0)
	f.file.gid, errs[4] = e.number("GID", 0)
	f.dir = f.file
	f.file.mode, errs[5] = e.mode("MODE", 0o644)
	f.dir.mode, errs[6] = e.mode("DIRMODE", 0o755)
	f.name = path.Clean(f.name)
	return f, errors.Join(errs[:]...)
}

// mode is an octal variable such as 0644.
func (e *Env) mode(name string, preset uint32) (uint32, error) {
	if e.Vars[name] == "" {
		return preset, nil
	}
	n, err := strconv.ParseUint(e.Vars[name], 8, 12)
	if err != nil {
		return 0, fmt.Errorf("%s is %q; want an octal mode such as 0644", name, e.Vars[name])
	}
	return uint32(n), nil
}

func (f newFile) write(v *volume) error {
	if err := v.mkdirs(path.Dir(f.name), f.dir); err != nil {
		return err
	}
	file, err := v.open(f.name, unix.O_WRONLY|unix.O_CREAT, 0o600)
	if errors.Is(err, unix.EISDIR) {
		return fmt.Errorf("it is a directory; DEST_PATH is to name the file")
	}
	if err != nil {
		return err
	}
	_ = file.Chmod(0o600) // until it is whole; on FAT there is no such thing
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteString(f.contents)
	}
	if err == nil {
		err = f.file.give(file)
	}
	if errors.Is(err, fs.ErrPermission) && v.kind == "vfat" {
		err = fmt.Errorf("%w: a FAT file system knows no owners", err)
	}
	return errors.Join(err, file.Sync(), file.Close())
}
