package seed

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the names of time zones, on hosts that have none
	"unicode"
	"unicode/utf8"

	"dragonfly/registry"
)

var (
	hostLabel   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`) // useradd(8)
	shellPath   = regexp.MustCompile(`^(/[A-Za-z0-9._+-]+)+$`)
	// packageName allows a version, an architecture and a group: curl=8.1-2, libc6:i386, @core.
	packageName = regexp.MustCompile(`^[A-Za-z0-9@][A-Za-z0-9.+:_~^=@/*-]*$`)
	// cryptHash is a hash of crypt(5) that no one guesses in an afternoon: SHA-512,
	// SHA-256, yescrypt, gost-yescrypt, scrypt, bcrypt.
	cryptHash = regexp.MustCompile(`^\$(6|5|y|gy|7|2[aby])\$[./A-Za-z0-9$=,]{20,240}$`)
)

// Validate reports everything that is wrong with the layers, each by itself, as
// [Render] does.
func Validate(layers ...Layer) error {
	p := &problems{}
	if len(layers) > maxLayers {
		p.add("", "%d layers; at most %d: take tags away", len(layers), maxLayers)
		return p.err()
	}
	for _, l := range layers {
		c := checker{p.of(l)}
		c.names(l.Seed)
		c.keys("/ssh_keys", l.SSHKeys)
		c.users(l.Users)
		c.each("/packages", l.Packages, 256, checkPackage)
		c.each("/commands", l.Commands, 64, checkCommand)
		c.each("/ca_certificates", l.CACertificates, 32, checkCertificates)
		c.network(l.Network)
	}
	return p.err()
}

// checker checks one layer.
type checker struct{ blame }

func (c checker) names(s registry.Seed) {
	if s.Hostname != "" && !hostLabel.MatchString(s.Hostname) {
		c.add("/hostname", "%s: want letters, digits and dashes, at most 63; a domain goes into fqdn", short(s.Hostname))
	}
	switch {
	case s.FQDN == "":
	case !isDomain(s.FQDN):
		c.add("/fqdn", "%s: want a host name with its domain, such as brave-otter.lab.example", short(s.FQDN))
	case s.Hostname != "" && label(s.FQDN) != s.Hostname:
		c.add("/fqdn", "%s is not %s and a domain", short(s.FQDN), s.Hostname)
	}
	if s.Timezone != "" {
		if _, err := time.LoadLocation(s.Timezone); err != nil || s.Timezone == "Local" {
			c.add("/timezone", "there is no time zone %s; want one such as Europe/Vienna or UTC", short(s.Timezone))
		}
	}
}

// keys says of a private key that it is one, and nothing of its other lines.
func (c checker) keys(pointer string, keys []string) {
	if at := slices.IndexFunc(keys, IsPrivate); at >= 0 {
		c.add(fmt.Sprintf("%s/%d", pointer, at), "%s", ErrPrivate)
		return
	}
	c.each(pointer, keys, 64, checkKey)
}

func (c checker) users(users []registry.SeedUser) {
	if len(users) > 64 {
		c.add("/users", "%d users; at most 64", len(users))
		return
	}
	for i, u := range users {
		at := fmt.Sprintf("/users/%d", i)
		if !accountName.MatchString(u.Name) {
			c.add(at+"/name", "%s: want a name such as ana: small letters, digits, _ and -, at most 32", short(u.Name))
		} else if slices.ContainsFunc(users[:i], func(o registry.SeedUser) bool { return o.Name == u.Name }) {
			c.add(at+"/name", "%s is there a second time", u.Name)
		}
		if strings.ContainsAny(u.Comment, ":,=\\\"") || len(u.Comment) > 128 || !isPlain(u.Comment) {
			c.add(at+"/comment", "want a line of at most 128 bytes, without : , = \\ and quotes, as passwd(5) has it")
		}
		if u.Shell != "" && (!shellPath.MatchString(u.Shell) || len(u.Shell) > 128) {
			c.add(at+"/shell", "%s: want a path such as /bin/bash", short(u.Shell))
		}
		if u.PasswordHash != "" && !cryptHash.MatchString(u.PasswordHash) {
			c.add(at+"/password_hash", "want a hash as in shadow(5), beginning with $6$, $5$, $y$ or $2b$; a password itself is not kept")
		}
		c.each(at+"/groups", u.Groups, 64, checkGroup)
		c.keys(at+"/ssh_keys", u.SSHKeys)
	}
}

// each checks every entry of a list.
func (c checker) each(pointer string, list []string, most int, check func(string) error) {
	if len(list) > most {
		c.add(pointer, "%d entries; at most %d", len(list), most)
		return
	}
	for i, entry := range list {
		if err := check(entry); err != nil {
			c.add(fmt.Sprintf("%s/%d", pointer, i), "%s", err)
		}
	}
}

func checkKey(line string) error {
	_, err := ParseKey(line)
	return err
}

func checkGroup(name string) error {
	if !accountName.MatchString(name) {
		return fmt.Errorf("%s: want the name of a group: small letters, digits, _ and -, at most 32", short(name))
	}
	return nil
}

func checkPackage(name string) error {
	if !packageName.MatchString(name) || len(name) > 256 {
		return fmt.Errorf("%s: want the name of one package, such as curl", short(name))
	}
	return nil
}

func checkCommand(command string) error {
	switch {
	case strings.TrimSpace(command) == "":
		return errors.New("the command is empty")
	case len(command) > maxCommand:
		return fmt.Errorf("the command has %d bytes; at most %d", len(command), maxCommand)
	case !utf8.ValidString(command) || strings.ContainsFunc(command, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }):
		return errors.New("the command has a control character or is not UTF-8")
	}
	return nil
}

func checkCertificates(text string) error {
	if len(text) > maxPEM {
		return fmt.Errorf("%d bytes; at most %d", len(text), maxPEM)
	}
	rest := []byte(text)
	for n := 1; ; n++ {
		block, after := pem.Decode(rest)
		switch {
		case block == nil && n == 1, block == nil && strings.TrimSpace(string(rest)) != "":
			return errors.New("want certificates in PEM, each from -----BEGIN CERTIFICATE----- to its end")
		case block == nil:
			return nil
		case block.Type != "CERTIFICATE":
			return fmt.Errorf("there is a %.40s; only certificates belong here", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d is damaged: %w", n, err)
		}
		rest = after
	}
}

// isDomain reports whether name has two labels or more of RFC 1123 section 2.1.
func isDomain(name string) bool {
	labels := strings.Split(name, ".")
	return len(name) <= 253 && len(labels) > 1 && !slices.ContainsFunc(labels, func(l string) bool { return !hostLabel.MatchString(l) })
}

// label is the host's part of a name with a domain.
func label(fqdn string) string {
	host, _, _ := strings.Cut(fqdn, ".")
	return host
}

func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// short is a value as a message shows it.
func short(value string) string {
	if r := []rune(value); len(r) > 60 {
		value = string(r[:57]) + "..."
	}
	return fmt.Sprintf("%q", value)
}
