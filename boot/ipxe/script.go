package ipxe

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"dragonfly/boot"
	"dragonfly/registry"
)

// Script is everything that an iPXE script depends on.
type Script struct {
	Plan  boot.Plan
	MAC   registry.MAC
	Arch  boot.Arch
	Base  string             // our URL as the machine reaches us, such as http://10.0.0.2:3000
	Token string             // boot token for the agent
	Name  string             // the machine's name; empty where it is unknown
	Order registry.BootOrder // where Plan is [boot.Once]
	// Worker is how Tinkerbell knows the machine: by the address that it boots from
	// most often, which need not be MAC.
	Worker     registry.MAC
	Tinkerbell Tinkerbell
	Try        int    // how often the machine has come back for another try, from 0
	Failed     string // key of what the machine says it could not boot; empty: nothing
	// Problem is what keeps the agent from being started, or this boot from being
	// written down as failed, in words; empty where nothing does. The script shows it,
	// waits and asks again.
	Problem string
}

// Tries is how often a script is asked for again before the machine boots its
// own disk instead.
const Tries = 5

// Render returns the script as text. A value that could be taken for syntax is
// an error.
func (s Script) Render() ([]byte, error) {
	return render(string(s.course()), s)
}

// course is the name of the template: the plan, or what is left of it where the
// agent cannot be started.
func (s Script) course() boot.Do {
	switch {
	case s.Plan.Do == boot.Disk && s.Problem == "":
		return boot.Disk
	case s.Try >= Tries:
		return "give-up"
	case s.Problem != "":
		return "problem"
	case s.Plan.Do == boot.Once:
		return boot.Do(s.Order.Kind)
	}
	return s.Plan.Do
}

// Autoexec returns the script that iPXE on UEFI asks for before it does anything
// else. base is our URL as the machine reaches us.
func Autoexec(base string) ([]byte, error) {
	return render("autoexec", Script{Base: base})
}

//go:embed scripts.tmpl
var source string

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"word": word, "text": text, "argument": argument, "dashed": dashed,
}).Parse(source))

func render(name string, s Script) ([]byte, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, s); err != nil {
		return nil, fmt.Errorf("iPXE script for %s: %w", s.MAC, err)
	}
	return out.Bytes(), nil
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// word lets one word of a command line pass: no space ends it, and nothing in it
// is expanded or quoted by iPXE or the kernel.
func word(v any) (string, error) { return only(v, alphanumeric+"-._~:/[]=+") }

func only(v any, allowed string) (string, error) {
	s := fmt.Sprint(v)
	if s == "" {
		return "", fmt.Errorf("a value is empty")
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(allowed, r) }); i >= 0 {
		return "", fmt.Errorf("value %.60q may not have %.1q in a script", s, s[i:])
	}
	return s, nil
}

// text is a line to be read by people, such as the note of a lock, with a question mark
// for whatever iPXE would take for more than that.
func text(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(alphanumeric+"-._:/,() ", r) {
			return r
		}
		return '?'
	}, s)
}

// dashed is the address as it stands in URLs, where a colon would need care.
func dashed(mac registry.MAC) string { return strings.ReplaceAll(mac.String(), ":", "-") }

// Next is the number of the next try.
func (s Script) Next() int { return max(s.Try, 0) + 1 }

// Tries is [Tries], for the template.
func (Script) Tries() int { return Tries }

// Memtest is the file of memtest86+ for the machine's firmware.
func (s Script) Memtest() string { return memtestFor(s.Arch) }

// Console is the kernel's name of the first serial port.
func (s Script) Console() string {
	if s.Arch.CPU() == "arm64" {
		return "ttyAMA0"
	}
	return "ttyS0"
}
