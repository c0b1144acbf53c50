package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/backup"
	"dragonfly/registry/durable"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup [-o FILE]", Short: "Copy everything but images, to be restored elsewhere", Args: cobra.NoArgs,
		Long: `Copy everything the appliance knows into one file, while it runs: the database as it is
at one moment, whether it is in this server, in a cluster or in an rqlite elsewhere, and
the key to the secrets in it. Images are not in it; nor is what makes a host a member of
a cluster, nor the configuration in /etc.

THE FILE HAS EVERY SECRET OF THE APPLIANCE, and the key to them: passwords and keys of
deployments, accounts, tokens. It is made for its owner alone (mode 0600); keep it so.

It is a tar in zstd. It gets its name when it was read back from the disk and every sum
in it was right, and not before; then the server takes it for its last backup (the page
Health, and the metric dragonfly_last_backup_timestamp_seconds). What went to standard
output was checked on its way, and is not counted as one.`,
		Example: `  dragonfly backup -o /var/backups/
  dragonfly backup -o - | age -r age1... > dragonfly.tar.zst.age
  dragonfly restore dragonfly-rack1-20261127T120000Z.tar.zst --check`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, _ := cmd.Flags().GetString("output")
			err := backUp(cmd, control(cmd), name)
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringP("output", "o", ".", "write to this `FILE`, or to one named after host and time in this directory; - for standard output")
	controlFlags(cmd)
	return cmd
}

func backUp(cmd *cobra.Command, from *api.Client, name string) error {
	if name == "-" {
		m, err := passOn(cmd.Context(), from, cmd.OutOrStdout())
		if err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s; whole when it passed, and not counted as a backup, since nobody read it back\n", holds(m))
		}
		return err
	}
	name, err := backupFile(name)
	if err != nil {
		return err
	}
	m, sum, err := keepBackup(cmd.Context(), from, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s; read back, and whole\n", name, holds(m))
	fmt.Fprintln(cmd.ErrOrStderr(), "It has every secret of the appliance, and the key to them: keep it where nobody else reads it.")
	if _, err := from.ConfirmBackup(cmd.Context(), sum); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "The server does not count it as its last backup: %v\n", err)
	}
	return nil
}

// backupFile is the file to write where name is one, or a directory for it.
func backupFile(name string) (string, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return filepath.Join(name, backupName(time.Now())), nil
	}
	dir := filepath.Dir(name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", usageError{fmt.Errorf("there is no directory %s; make it first", dir)}
	}
	return name, nil
}

func holds(m backup.Manifest) string {
	size := int64(0)
	for _, f := range m.Files {
		size += f.Bytes
	}
	return fmt.Sprintf("%s of %s, %s", registry.Counted(m.Machines, "machine"), moment(m.At), mebibytes(size))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB unpacked", float64(n)/(1<<20)) }

// passOn writes a backup to w and checks what passes.
func passOn(ctx context.Context, from *api.Client, w io.Writer) (m backup.Manifest, err error) {
	r, tee := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		var err error
		m, err = backup.Read(r, nil)
		r.CloseWithError(err) // a backup that is damaged goes no further
		checked <- err
	}()
	err = from.Backup(ctx, io.MultiWriter(w, tee))
	tee.CloseWithError(err)
	if wrong := <-checked; err == nil {
		err = wrong
	}
	return m, err
}

// keepBackup writes a backup to a file that is not there yet, reads it back from the
// disk, and gives it its name when all of it is right. sum is the SHA-256 of the file.
func keepBackup(ctx context.Context, from *api.Client, name string) (m backup.Manifest, sum string, err error) {
	if _, err := os.Lstat(name); err == nil {
		return m, "", usageError{fmt.Errorf("%s is there already; name another file", name)}
	}
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".part")
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return m, "", err
	}
	if err = from.Backup(ctx, file); err == nil {
		m, sum, err = readBack(file)
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		return m, "", errors.Join(err, os.Remove(part))
	}
	return m, sum, durable.SyncDir(filepath.Dir(name))
}

// readBack checks all of a file that was written, as the disk has it.
func readBack(file *os.File) (m backup.Manifest, sum string, err error) {
	if err := errors.Join(file.Chmod(0o600), file.Sync()); err != nil {
		return m, "", err
	}
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) // else the memory is read
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return m, "", err
	}
	hash := sha256.New()
	if m, err = backup.Read(io.TeeReader(file, hash), nil); err != nil {
		return m, "", err
	}
	if _, err := io.Copy(hash, file); err != nil { // of which Read has seen all but, perhaps, the end
		return m, "", err
	}
	return m, hex.EncodeToString(hash.Sum(nil)), nil
}
