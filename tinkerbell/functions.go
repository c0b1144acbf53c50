package tinkerbell

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// functions are those a template may call, each within the limits: Sprig's
// hermetic ones, Tinkerbell's own, and those of text/template that build texts.
func (g *guard) functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	for name, function := range own {
		all[name] = function
	}
	for name, function := range all {
		all[name] = g.wrap(name, function)
	}
	return all
}

// own are the functions beside Sprig's. The second half is text/template's own,
// named here to be within the limits too.
var own = template.FuncMap{
	"formatPartition":       formatPartition,
	"netmaskToPrefixLength": netmaskToPrefixLength,
	"toYaml":                toYAML,
	"fromYaml":              fromYAML,

	"print": fmt.Sprint, "printf": fmt.Sprintf, "println": fmt.Sprintln,
	"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
}

// formatPartition is the path of a partition: /dev/sda1, /dev/nvme0n1p1, and
// -part1 for the links below /dev/disk.
func formatPartition(device string, partition int) string {
	number := strconv.Itoa(partition)
	switch {
	case strings.HasPrefix(device, "/dev/disk/"):
		return device + "-part" + number
	case device != "" && strings.ContainsRune("0123456789", rune(device[len(device)-1])):
		return device + "p" + number
	}
	return device + number
}

// netmaskToPrefixLength is 24 for 255.255.255.0. One with a gap is 0, as in Tinkerbell.
func netmaskToPrefixLength(netmask string) (string, error) {
	address := net.ParseIP(netmask)
	if address == nil || address.To4() == nil {
		return "", fmt.Errorf("netmask %s: want an IPv4 one, such as 255.255.255.0", short(netmask))
	}
	ones, _ := net.IPMask(address.To4()).Size()
	return strconv.Itoa(ones), nil
}

func toYAML(value any) (string, error) {
	text, err := yaml.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("toYaml: %w", err)
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

func fromYAML(text string) (value any, err error) {
	if text == "" {
		return nil, errors.New("fromYaml: the text is empty")
	}
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, fmt.Errorf("fromYaml: %w", err)
	}
	return value, nil
}
