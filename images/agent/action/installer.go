package action

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// installer starts the installer of an operating system in the place of this agent:
// its kernel, at KERNEL_URL, and its initrd, with FILES in it, which has its answers.
// It writes to no disk. What becomes of the disk and of the deployment is told to the
// server by the installer, as its answers have it do; the success of the action, too.
func installer(ctx context.Context, env *Env) error {
	disk, err := env.must("DEST_DISK")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(disk, "/dev/disk/by-") {
		return fmt.Errorf("DEST_DISK is %s; want a path below /dev/disk/by-id, since the installer's kernel may call another disk that", disk)
	}
	files, err := env.initrdFiles()
	if err != nil {
		return err
	}
	kernel, err := env.fetchPart(ctx, "KERNEL")
	if err != nil {
		return err
	}
	defer kernel.Close()
	initrd, err := env.fetchPart(ctx, "INITRD")
	if err != nil {
		return err
	}
	defer initrd.Close()
	if err := appendInitrd(initrd, files); err != nil {
		return fmt.Errorf("the installer's initrd: %w", err)
	}
	options := strings.TrimSpace(env.Vars["CMD_LINE"] + " " + env.consoles())
	env.logf("starting the installer: %s", options)
	if err := loadKernel(kernel, initrd, options); err != nil {
		return fmt.Errorf("the installer's kernel: %w", err)
	}
	env.report(Progress{Stage: "the installer starts"})
	return end("start the installer", unix.LINUX_REBOOT_CMD_KEXEC)
}

// maxPart bounds a kernel or an initrd, in bytes: they are held in memory.
const maxPart = 512 << 20

// fetchPart brings a kernel or an initrd into memory, and checks it. The caller closes
// the file.
func (e *Env) fetchPart(ctx context.Context, name string) (*os.File, error) {
	address, err := e.must(name + "_URL")
	if err != nil {
		return nil, err
	}
	want, err := e.sum(name + "_SHA256")
	if err == nil && want == nil {
		err = fmt.Errorf("%s_SHA256 is not set: nothing is started that is not checked", name)
	}
	if err != nil {
		return nil, err
	}
	from, err := e.newSource(address)
	if err != nil {
		return nil, err
	}
	from.summed = true
	fd, err := unix.MemfdCreate(strings.ToLower(name), unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("room for %s: %w", from, err)
	}
	file := os.NewFile(uintptr(fd), path.Base(from.String()))
	if err := e.fill(ctx, file, from, want); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// fill fetches from a source into a file, and holds it against its sum.
func (e *Env) fill(ctx context.Context, file *os.File, from *source, want []byte) error {
	body := from.read(ctx, 0, -1)
	defer body.Close()
	hash, block, done := sha256.New(), make([]byte, 1<<20), int64(0)
	for {
		n, err := body.Read(block)
		if done += int64(n); done > maxPart {
			return fmt.Errorf("%s is larger than %d MiB", from, maxPart>>20)
		}
		hash.Write(block[:n])
		if _, err := file.Write(block[:n]); err != nil {
			return fmt.Errorf("keep %s: %w", from, err)
		}
		e.report(Progress{Stage: "fetching", Done: done, Total: max(from.fileSize.Load(), 0), Fetched: done})
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if have := hash.Sum(nil); !bytes.Equal(have, want) {
		return fmt.Errorf("%s has the SHA-256 %x, and it should be %x: it is another file than was agreed to, or damaged", from, have, want)
	}
	return nil
}

// initrdFiles reads FILES: a line for each file, with its path and the name of the
// variable that has its text.
func (e *Env) initrdFiles() (files []cpio.Record, err error) {
	for line := range strings.Lines(e.Vars["FILES"]) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		text, known := "", false
		if len(words) == 2 {
			text, known = e.Vars[words[1]]
		}
		name := words[0]
		if !known || !path.IsAbs(name) || path.Clean(name) != name {
			return nil, fmt.Errorf("FILES has the line %q; want a clean absolute path and the name of a variable", strings.TrimSpace(line))
		}
		files = append(files, cpio.StaticFile(strings.TrimPrefix(name, "/"), text, 0o600))
	}
	return files, nil
}

// appendInitrd adds files to an initrd, as an archive behind those that are there. The
// kernel wants each at a multiple of four bytes
// (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html).
func appendInitrd(initrd *os.File, files []cpio.Record) error {
	size, err := initrd.Seek(0, io.SeekEnd)
	if err != nil || len(files) == 0 {
		return err
	}
	var archive bytes.Buffer
	archive.Write(make([]byte, -size&3))
	to := cpio.NewDedupWriter(cpio.Newc.Writer(&archive))
	for _, file := range files {
		if err := cpio.WriteRecords(to, append(parents(file.Name), file)); err != nil {
			return err
		}
	}
	if err := cpio.WriteTrailer(to); err != nil {
		return err
	}
	_, err = initrd.Write(archive.Bytes())
	return err
}

// parents are the directories that a file is in, the outermost first.
func parents(name string) (all []cpio.Record) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		all = slices.Insert(all, 0, cpio.Directory(dir, 0o755))
	}
	return all
}

// consoles are those of the agent's own command line: what shows the agent shows what
// comes after it.
func (e *Env) consoles() string {
	line, _ := os.ReadFile(e.path("/proc/cmdline")) // without it the kernel chooses
	var words []string
	for word := range strings.FieldsSeq(string(line)) {
		if strings.HasPrefix(word, "console=") {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}
