package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"dragonfly/registry"
)

// maxScript bounds what is read of an iPXE script.
const maxScript = 64 << 10

// kernelLine asks the appliance for the script of mac and returns the command
// line it gives the kernel, boot token included.
func (a *appliance) kernelLine(ctx context.Context, mac registry.MAC) (string, error) {
	body, err := a.get(ctx, "/boot/"+mac.String()+"/auto.ipxe")
	if err != nil {
		return "", err
	}
	defer body.Close()
	script, err := io.ReadAll(io.LimitReader(body, maxScript))
	if err != nil {
		return "", fmt.Errorf("read the script of %s: %w", mac, err)
	}
	return parseKernelLine(string(script))
}

// parseKernelLine finds the arguments of the script's first kernel command,
// without what is meant for iPXE and its EFI stub.
func parseKernelLine(script string) (string, error) {
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "kernel" {
			continue
		}
		if end := slices.Index(words, "||"); end >= 0 {
			words = words[:end]
		}
		words = words[1:]
		for len(words) > 0 && strings.HasPrefix(words[0], "--") {
			words = words[min(2, len(words)):] // an option and its value, such as --name agent
		}
		if len(words) > 0 {
			args := slices.DeleteFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "initrd=") })
			return strings.Join(args, " "), nil
		}
	}
	return "", fmt.Errorf("the script starts no kernel: %.400q", script)
}
