package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
)

// cexec runs commands in a file system on the disk, as if that were booted: its
// root is theirs, with the machine's devices. What they print becomes lines of the
// log. Nothing that they started is left when the action ends, however that is.
func cexec(ctx context.Context, env *Env) error {
	device, err := env.must("BLOCK_DEVICE")
	if err != nil {
		return err
	}
	commands, err := env.commands()
	if err != nil {
		return err
	}
	names, err := env.flag("UPDATE_RESOLV_CONF", false)
	if err != nil {
		return err
	}
	if env.Vars["CHROOT"] == "" {
		return errors.New("CHROOT is not set: the agent has no programs of its own, only those of the file system; set it to y")
	}
	return env.inside(ctx, device, env.text("FS_TYPE", ""), names, func(c *chroot) error {
		for _, command := range commands {
			if err := c.run(ctx, command...); err != nil {
				return err
			}
		}
		return nil
	})
}

// commands are CMD_LINE: the one argument of the interpreter, or commands with ";"
// between them, whose words are separated by blanks.
func (e *Env) commands() ([][]string, error) {
	line, err := e.must("CMD_LINE")
	if err != nil {
		return nil, err
	}
	if interpreter := strings.Fields(e.Vars["DEFAULT_INTERPRETER"]); len(interpreter) > 0 {
		return [][]string{append(interpreter, line)}, nil
	}
	var commands [][]string
	for _, command := range strings.Split(line, ";") {
		if words := strings.Fields(command); len(words) > 0 {
			commands = append(commands, words)
		}
	}
	if commands == nil {
		return nil, fmt.Errorf("CMD_LINE is %q; there is no command in it", line)
	}
	return commands, nil
}

// inside mounts a device with what programs expect around them, and unmounts it
// all.
func (e *Env) inside(ctx context.Context, device, fsType string, names bool, do func(*chroot) error) error {
	v, err := e.mount(ctx, device, fsType, 0)
	if err != nil {
		return err
	}
	c := &chroot{volume: v}
	err = c.furnish(names)
	if err == nil {
		err = do(c)
	}
	return errors.Join(err, c.close(), v.close())
}

// environment is that of the programs: what the action has, and what every shell
// expects.
func (e *Env) environment() []string {
	all := []string{"PATH=" + searchPath, "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	for name, value := range e.Vars {
		all = append(all, name+"="+value)
	}
	return all
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds a program in the volume, for exec(2) looks along no path.
func (v *volume) lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range strings.Split(searchPath, ":") {
		f, err := v.open(path.Join(dir, name), os.O_RDONLY, 0)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		_ = f.Close()
		if err == nil && info.Mode()&0o111 != 0 {
			return path.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("%s has no program %s", v.device, name)
}
