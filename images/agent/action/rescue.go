package action

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// rescue lets an operator in by SSH (RFC 4254) until the machine restarts or the
// deployment is cancelled: root, by the keys in SSH_KEYS and by nothing else. The
// server is dropbear and the shell is busybox, both of the tools.
func rescue(ctx context.Context, env *Env) error {
	keys, err := env.must("SSH_KEYS")
	if err != nil {
		return err
	}
	if strings.TrimSpace(keys) == "" {
		return errors.New("SSH_KEYS has no key")
	}
	dir, err := env.toolbox(ctx)
	if err != nil {
		return err
	}
	door := rescueDoor{env, env.path("/root/.ssh")}
	if err := errors.Join(door.prepare(ctx, dir, keys), mountTerminals()); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":22")
	if err != nil {
		return err
	}
	env.report(Progress{Stage: "SSH for root, until a restart"})
	return door.serve(ctx, listener)
}

// rescueDoor is where an operator comes in.
type rescueDoor struct {
	*Env
	dir string // of the keys; dropbear wants all directories up to root's home to be root's alone
}

// prepare makes what dropbear and a login need in the agent's own root file system:
// root, its shell and the tools of it, who may sign in, and a key of the host.
func (d rescueDoor) prepare(ctx context.Context, tools, keys string) error {
	for _, dir := range []string{"/bin", "/etc"} {
		if err := os.MkdirAll(d.path(dir), 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(filepath.Dir(d.dir)), os.MkdirAll(d.dir, 0o700)); err != nil {
		return err
	}
	for name, text := range map[string]string{
		d.path("/etc/passwd"):                   "root:x:0:0:root:/root:/bin/sh\n",
		filepath.Join(d.dir, "authorized_keys"): strings.TrimSpace(keys) + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	busybox := filepath.Join(tools, "bin", "busybox")
	if err := os.Symlink(busybox, d.path("/bin/busybox")); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := d.runProgram(ctx, exec.CommandContext(ctx, busybox, "--install", "-s", d.path("/bin")), "busybox"); err != nil {
		return err
	}
	return d.tool(ctx, "dropbearkey", "-t", "ed25519", "-f", filepath.Join(d.dir, "host"))
}

// maxSessions bounds how many are signed in at once, or are about to.
const maxSessions = 32

// serve takes connections until ctx ends, each for a dropbear of its own: where it
// listens itself, it starts itself again for each, by the name of the loader that
// runs the tools.
func (d rescueDoor) serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	room := make(chan struct{}, maxSessions)
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		select {
		case room <- struct{}{}:
			go func() {
				defer func() { <-room }()
				d.session(ctx, conn.(*net.TCPConn))
			}()
		default:
			conn.Close()
		}
	}
}

// session is one connection, to its end. -s takes no password, -j and -k forward
// nothing.
func (d rescueDoor) session(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		d.logf("connection from %s: %v", conn.RemoteAddr(), err)
		return
	}
	defer file.Close()
	cmd, err := d.toolCommand(ctx, "dropbear", "-i", "-E", "-s", "-j", "-k", "-m", "-r", filepath.Join(d.dir, "host"))
	if err == nil {
		output := &lineLog{log: d.logf}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, output
		err = cmd.Run()
		output.end()
	}
	if err != nil && ctx.Err() == nil {
		d.logf("connection from %s: %v", conn.RemoteAddr(), err)
	}
}

// mountTerminals makes pseudo terminals appear, where there are none yet.
func mountTerminals() error {
	if _, err := os.Stat("/dev/pts/ptmx"); err == nil {
		return nil
	}
	if err := os.MkdirAll("/dev/pts", 0o755); err != nil {
		return err
	}
	return unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=620,ptmxmode=666")
}
