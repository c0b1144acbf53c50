package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// storeCommands are the commands about the images that machines are installed from.
func storeCommands() []*cobra.Command {
	return []*cobra.Command{imageListCommand(), imageAddCommand(), imageImportCommand(), imageJobsCommand(), imageCancelCommand(),
		imageVerifyCommand(), imageGCCommand(), imageDeleteCommand()}
}

func imageListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the images that machines are installed from", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := control(cmd).Images(cmd.Context())
			if err != nil {
				return fmt.Errorf("list images: %w", err)
			}
			show := columns[registry.Image]{
				heads: []string{"NAME", "TITLE", "SIZE", "FILE", "CHECKED BY", "IMPORTED", "STATE"},
				cells: func(i registry.Image) []string {
					return []string{i.Name[:min(12, len(i.Name))], i.Title, size(i.Size), size(i.Packed), checkedBy(i), moment(i.ImportedAt), imageState(i)}
				},
				name: func(i registry.Image) string { return i.Name },
			}
			if isWide(cmd) {
				narrow := show.cells
				show.heads = append(show.heads, "FORMAT", "URL")
				show.cells = func(i registry.Image) []string { return append(narrow(i), i.Format, latest(i).URL) }
			}
			return printList(cmd, list.Images, show)
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

// latest is where an image came from last.
func latest(i registry.Image) (o registry.ImageOrigin) {
	if len(i.Origins) > 0 {
		o = i.Origins[len(i.Origins)-1]
	}
	return o
}

func checkedBy(i registry.Image) string {
	if by := latest(i).Checked; by != "" {
		return by
	}
	return "nothing"
}

func imageState(i registry.Image) string {
	switch {
	case i.Damage != "":
		return "damaged: " + i.Damage
	case i.VerifiedAt.IsZero():
		return "good"
	}
	return "good, verified " + moment(i.VerifiedAt)
}

func imageAddCommand() *cobra.Command {
	var src registry.ImageSource
	cmd := &cobra.Command{
		Use: "add URL", Short: "Have the server fetch an image from a URL",
		Long: `Have the server fetch a disk image from a URL, check it, and convert it into what
machines fetch. Raw and qcow2 disks are taken, plain or packed with gzip, xz, zstd
or bzip2. The server goes on when this command is interrupted, and when it is
started again itself; a connection that breaks is resumed.

What the file must be is said by its sum, or by a file of sums beside it, which can
have to be signed. Without either, only the connection vouches for it.`,
		Example: `  dragonfly image add https://example.org/disk.qcow2 --sha256 2f4c...
  dragonfly image add https://example.org/disk.raw.xz --sums https://example.org/SHA256SUMS \
      --signature https://example.org/SHA256SUMS.gpg --key distribution.asc`,
		Args: exactly(1, "the URL of a disk image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			src.URL = args[0]
			if path, _ := cmd.Flags().GetString("key"); path != "" {
				key, err := readKey(path)
				if err != nil {
					return err
				}
				src.Key = key
			}
			job, err := control(cmd).ImportImage(cmd.Context(), src)
			if err != nil {
				return fmt.Errorf("add %s: %w", src.URL, err)
			}
			return followImage(cmd, job)
		},
	}
	cmd.Flags().StringVar(&src.SHA256, "sha256", "", "`SUM` that the file must have")
	cmd.Flags().StringVar(&src.Sums, "sums", "", "`URL` of a file of SHA-256 or SHA-512 sums that lists it")
	cmd.Flags().StringVar(&src.Signature, "signature", "", "`URL` of the OpenPGP signature of the file of sums; without it, that has to be signed in itself")
	cmd.Flags().String("key", "", "`FILE` with the OpenPGP public key that the file of sums must be signed with")
	imageFlags(cmd, &src.Title, &src.Format)
	return cmd
}

// imageFlags are those of commands that bring an image.
func imageFlags(cmd *cobra.Command, title, format *string) {
	cmd.Flags().StringVar(title, "title", "", "what people call it (default: the name of the file)")
	cmd.Flags().StringVar(format, "format", "", "what it must be: raw or qcow2, and .gz, .xz, .zst or .bz2 (default: what it is)")
	detachFlag(cmd)
	controlFlags(cmd)
}

func detachFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("detach", false, "do not wait until it is done; see image jobs")
}

// maxKey bounds what is read of a file with a key.
const maxKey = 256 << 10

// readKey reads OpenPGP public keys. Distributions also have them as they are,
// without armor.
func readKey(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, maxKey+1))
	if err == nil && len(body) > maxKey {
		err = errors.New(path + " is too large for a key")
	}
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	if strings.HasPrefix(strings.TrimSpace(string(body)), "-----BEGIN PGP") {
		return string(body), nil
	}
	var text strings.Builder
	w, err := armor.Encode(&text, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		return "", err
	}
	_, err = w.Write(body)
	return text.String(), errors.Join(err, w.Close())
}

func imageImportCommand() *cobra.Command {
	var u registry.ImageUpload
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Send a file with an image to the server, for networks without a way out",
		Long: `Send a file with a disk image to the server, from this host or a USB stick in it,
for networks without a way out. The file may be what "image add" takes, or an image
of another Dragonfly (DATA-DIR/images/os/NAME.img.zst). What has arrived is kept: run
the command again to go on after it was interrupted.`,
		Example: "  dragonfly image import /media/usb/debian-12-generic-amd64.qcow2",
		Args:    exactly(1, "a file with a disk image"),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := sendImage(cmd, args[0], u)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			return followImage(cmd, job)
		},
	}
	imageFlags(cmd, &u.Title, &u.Format)
	return cmd
}

// sendTries is how often in a row sending goes on after a connection broke without
// one more byte there.
const sendTries = 5

// sendImage sends what the server has not got of a file, until it has all.
func sendImage(cmd *cobra.Command, path string, u registry.ImageUpload) (job registry.ImageJob, err error) {
	file, err := os.Open(path)
	if err != nil {
		return job, err
	}
	defer file.Close()
	line := newStatusLine(cmd)
	defer line.end()
	if u.SHA256, u.Size, err = sumOf(cmd.Context(), file, line); err != nil {
		return job, err
	}
	if u.Title == "" {
		u.Title = filepath.Base(path)
	}
	client := control(cmd)
	for try := 1; ; try++ {
		before := u.Offset
		if u.Offset, err = arrived(cmd.Context(), client, u); err != nil {
			return job, err
		}
		if u.Offset > before {
			try = 1
		}
		rest := &progressReader{r: io.NewSectionReader(file, u.Offset, u.Size-u.Offset), done: u.Offset,
			tell: func(done int64) { line.progress("sending", done, u.Size, 0) }}
		job, err = client.UploadImage(cmd.Context(), u, rest)
		if err == nil || try == sendTries || cmd.Context().Err() != nil || final(err) {
			return job, err
		}
		time.Sleep(time.Duration(try) * time.Second)
	}
}

// final reports whether an answer would be the same another time. A body that broke
// off is told as 400.
func final(err error) bool {
	status := api.Status(err)
	return status > 400 && status < 500 || status == 507
}

// arrived is how much of a file the server has.
func arrived(ctx context.Context, client *api.Client, u registry.ImageUpload) (int64, error) {
	job, err := client.UploadedImage(ctx, u.SHA256)
	if api.Status(err) == 404 {
		return 0, nil
	}
	if err != nil || job.State != registry.ImageJobReceiving {
		return 0, err
	}
	return job.Progress.Done, nil
}

// sumOf is the SHA-256 and the size of a file.
func sumOf(ctx context.Context, file *os.File, line *statusLine) (sum string, size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, errors.New("it is not a file")
	}
	h := sha256.New()
	size, err = io.Copy(h, &progressReader{r: file, tell: func(done int64) { line.progress("reading", done, info.Size(), 0) }, ctx: ctx})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// progressReader tells how far it was read.
type progressReader struct {
	r    io.Reader
	ctx  context.Context // may be nil
	done int64
	tell func(done int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	if p.ctx != nil && p.ctx.Err() != nil {
		return 0, p.ctx.Err()
	}
	n, err := p.r.Read(b)
	p.done += int64(n)
	p.tell(p.done)
	return n, err
}

// followEvery is how often the server is asked how far it is.
const followEvery = 500 * time.Millisecond

// followImage waits until a job has ended, and says how far it is. Interrupted, it
// leaves the job at work.
func followImage(cmd *cobra.Command, job registry.ImageJob) (err error) {
	if detach, _ := cmd.Flags().GetBool("detach"); detach && !job.State.Ended() {
		fmt.Fprintln(cmd.OutOrStdout(), job.ID)
		return nil
	}
	client, line := control(cmd), newStatusLine(cmd)
	for !job.State.Ended() {
		stage := job.Progress.Stage
		if stage == "" || job.State == registry.ImageJobWaiting {
			stage = string(job.State)
		}
		line.progress(stage, job.Progress.Done, job.Progress.Total, job.Progress.Rate)
		if job.Reason != "" {
			line.say("trying again: " + job.Reason)
		}
		select {
		case <-time.After(followEvery):
		case <-cmd.Context().Done():
			line.end()
			return fmt.Errorf("the server goes on with it; see dragonfly image jobs, and dragonfly image cancel %s", job.ID)
		}
		if job, err = client.ImageJob(cmd.Context(), job.ID); err != nil {
			line.end()
			return fmt.Errorf("image job: %w", err)
		}
	}
	line.end()
	if job.State == registry.ImageJobFailed {
		return errors.New(job.Reason)
	}
	fmt.Fprintln(cmd.OutOrStdout(), job.Image)
	return nil
}

// statusLine is a line on standard error that is written over on a terminal. On
// anything else there is a line for each stage.
type statusLine struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex // a transport may read on in a body after its request was answered
	last  string
	at    time.Time
	ended bool
}

func newStatusLine(cmd *cobra.Command) *statusLine {
	w := cmd.ErrOrStderr()
	file, ok := w.(*os.File)
	return &statusLine{w: w, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

func (l *statusLine) progress(stage string, done, total int64, rate float64) {
	if !l.terminal {
		l.say(stage)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || time.Since(l.at) < followEvery/2 && done < total {
		return
	}
	l.at = time.Now()
	text := stage
	if total > 0 {
		text += fmt.Sprintf(" %3d %%, %s of %s", done*100/total, size(done), size(total))
	} else if done > 0 {
		text += " " + size(done)
	}
	if rate > 0 {
		text += ", " + size(int64(rate)) + "/s"
	}
	fmt.Fprintf(l.w, "\r\x1b[K%s", text)
	l.last = text
}

// say writes a text, unless it is the one that was written last.
func (l *statusLine) say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || text == l.last {
		return
	}
	if l.terminal {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
	fmt.Fprintln(l.w, text)
	l.last = text
}

// end clears the line; nothing is written after it.
func (l *statusLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.terminal && l.last != "" && !l.ended {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
	l.ended = true
}

func imageJobsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "jobs", Short: "List the imports, uploads and verifications", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := control(cmd).Images(cmd.Context())
			if err != nil {
				return fmt.Errorf("list image jobs: %w", err)
			}
			return printList(cmd, list.Jobs, columns[registry.ImageJob]{
				heads: []string{"ID", "KIND", "STATE", "TITLE", "PROGRESS", "REASON"},
				cells: func(j registry.ImageJob) []string {
					progress := ""
					if j.Progress.Total > 0 && !j.State.Ended() {
						progress = fmt.Sprintf("%s %d %%", j.Progress.Stage, j.Progress.Done*100/j.Progress.Total)
					}
					return []string{j.ID, string(j.Kind), string(j.State), j.Title, progress, j.Reason}
				},
				name: func(j registry.ImageJob) string { return j.ID },
			})
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func imageCancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cancel JOB", Short: "Cancel an import or an upload, and delete what there is of it", Args: exactly(1, "a job of `dragonfly image jobs`"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := control(cmd).CancelImageJob(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("cancel %s: %w", args[0], err)
			}
			return nil
		},
	}
	controlFlags(cmd)
	return cmd
}

func imageVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify NAME", Short: "Have the server read all of an image and compare every sum",
		Long: `Have the server read all of an image and compare every sum. One that is damaged is
not served until it is added or imported again.`,
		Args: exactly(1, "the name of an image, or its first 6 characters"),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := control(cmd).VerifyImage(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("verify %s: %w", args[0], err)
			}
			return followImage(cmd, job)
		},
	}
	detachFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func imageGCCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "gc", Short: "Delete the images that no operating system is installed from", Args: cobra.NoArgs,
		Long: `Delete the images that no operating system of the catalogue is installed from, and
what is left of imports that failed. It shows which, and asks.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control(cmd)
			gone, err := client.CollectImages(cmd.Context(), true)
			if err != nil {
				return fmt.Errorf("collect images: %w", err)
			}
			for _, i := range gone.Images {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, %s\n", i.Name[:min(12, len(i.Name))], i.Title, size(i.Packed))
			}
			if dry, _ := cmd.Flags().GetBool("dry-run"); dry || gone.Bytes == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s can be freed\n", size(gone.Bytes))
				return nil
			}
			if err := confirm(cmd, fmt.Sprintf("delete %d images, and free %s?", len(gone.Images), size(gone.Bytes))); err != nil {
				return err
			}
			if gone, err = client.CollectImages(cmd.Context(), false); err != nil {
				return fmt.Errorf("collect images: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s were freed\n", size(gone.Bytes))
			return nil
		},
	}
	cmd.Flags().Bool("dry-run", false, "only show what would be deleted")
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func imageDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete an image", Args: exactly(1, "the name of an image, or its first 6 characters"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control(cmd)
			image, err := client.Image(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("delete %s: %w", args[0], err)
			}
			if err := confirm(cmd, fmt.Sprintf("delete %s (%s)?", image.Title, image.Name[:12])); err != nil {
				return err
			}
			force, _ := cmd.Flags().GetBool("force")
			if err := client.DeleteImage(cmd.Context(), image.Name, force); err != nil {
				return fmt.Errorf("delete %s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().Bool("force", false, "even if an operating system is installed from it")
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}
