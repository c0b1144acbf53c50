package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// machineNamed is text where that is a name or an ID, and the ID of the machine that
// has it where it is a hardware address. A name may look like an address without
// colons, and comes before it.
func machineNamed(cmd *cobra.Command, text string) (string, error) {
	mac, err := registry.ParseMAC(text)
	if err != nil {
		return text, nil
	}
	client := control(cmd)
	if !strings.Contains(text, ":") {
		if m, err := client.Machine(cmd.Context(), text); api.Status(err) != http.StatusNotFound {
			return m.ID, err
		}
	}
	found, _, err := client.Machines(cmd.Context(), api.Selection{Filter: "mac:" + mac.String()}, "", 1)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", &api.Error{Status: http.StatusNotFound, Detail: fmt.Sprintf("no machine has the hardware address %s", mac)}
	}
	return found[0].ID, nil
}

// machinesNamed is machineNamed for each of texts.
func machinesNamed(cmd *cobra.Command, texts []string) ([]string, error) {
	names := make([]string, 0, len(texts))
	for _, text := range texts {
		name, err := machineNamed(cmd, text)
		if err != nil {
			return nil, fmt.Errorf("machine %s: %w", text, err)
		}
		names = append(names, name)
	}
	return names, nil
}
