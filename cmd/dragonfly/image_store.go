package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/spf13/cobra"

	"dragonfly/registry"
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
					return []string{shortName(i), i.Title, size(i.Size), size(i.Packed), checkedBy(i), moment(i.ImportedAt), imageState(i)}
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

// shortName is as much of an image's name as tells it from all others.
func shortName(i registry.Image) string { return i.Name[:min(12, len(i.Name))] }

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
		Use: "verify IMAGE", Short: "Have the server read all of an image and compare every sum",
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
		Long: `Delete the images that no operating system of the catalogue is installed from and no
deployment under way needs, and what is left of imports that failed. It shows which,
and asks.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control(cmd)
			gone, err := client.CollectImages(cmd.Context(), true)
			if err != nil {
				return fmt.Errorf("collect images: %w", err)
			}
			for _, i := range gone.Images {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, %s\n", shortName(i), i.Title, size(i.Packed))
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
		Use: "delete IMAGE", Short: "Delete an image", Args: exactly(1, "the name of an image, or its first 6 characters"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := control(cmd)
			image, err := client.Image(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("delete %s: %w", args[0], err)
			}
			if err := confirm(cmd, fmt.Sprintf("delete %s (%s)?", image.Title, shortName(image))); err != nil {
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
