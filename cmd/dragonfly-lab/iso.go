package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// isoText is what the disc says once it has started.
const isoText = "once-from-the-iso"

// isoMenu is all that the disc does: it says so on the serial console, and restarts.
const isoMenu = `serial --unit=0 --speed=115200
terminal_output console serial
echo ` + isoText + `
sleep 1
reboot
`

var isoTools = []tool{{"grub-mkrescue", "grub-common"}, {"xorriso", "xorriso"}, {"mformat", "mtools"}}

// isoImage returns a disc that starts on BIOS and on UEFI, which is made once.
func isoImage(ctx context.Context) (string, error) {
	if missing := lacking(isoTools); len(missing) > 0 {
		return "", fmt.Errorf("making an ISO lacks:\n  %s", strings.Join(missing, "\n  "))
	}
	for _, modules := range []string{"i386-pc", "x86_64-efi"} {
		if !exists(filepath.Join("/usr/lib/grub", modules)) {
			return "", fmt.Errorf("making an ISO lacks GRUB for %s (apt-get install grub-pc-bin grub-efi-amd64-bin)", modules)
		}
	}
	dir, err := labCache("iso")
	if err != nil {
		return "", err
	}
	disc := filepath.Join(dir, "disc-"+digest(isoMenu)+".iso")
	return disc, once(disc, func(path string) error {
		root, err := os.MkdirTemp("", prefix)
		if err != nil {
			return err
		}
		defer os.RemoveAll(root)
		grub := filepath.Join(root, "boot", "grub")
		return errors.Join(os.MkdirAll(grub, 0o755), os.WriteFile(filepath.Join(grub, "grub.cfg"), []byte(isoMenu), 0o644),
			command(ctx, "grub-mkrescue", "-o", path, root))
	})
}

// offerISO serves the disc to the machines, and returns its URL.
func (r *rack) offerISO(ctx context.Context) (string, error) {
	disc, err := isoImage(ctx)
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	address := applianceAddress + ":8090"
	err = r.run(ctx, "iso", func(log io.Writer) (*process, error) {
		return start("the server of the ISO", log, inside(r.net.appliance, self, "files", filepath.Dir(disc), address)...)
	})
	return "http://" + address + "/" + filepath.Base(disc), err
}

// filesCommand serves a folder, in whatever namespace it is started in.
func filesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "files FOLDER ADDRESS", Hidden: true, Args: cobra.ExactArgs(2),
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			server := &http.Server{Addr: args[1], Handler: http.FileServer(http.Dir(args[0])), ReadHeaderTimeout: 10 * time.Second}
			context.AfterFunc(cmd.Context(), func() { server.Close() })
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
}
