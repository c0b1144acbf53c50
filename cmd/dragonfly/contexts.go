package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"dragonfly/registry"
	"dragonfly/registry/durable"
	"dragonfly/registry/manifest"
)

// localContext is the name by which the appliance on this host is meant.
const localContext = "local"

// contexts is the servers that this user knows by name: a file of theirs, which
// nobody else may read since it has API tokens.
type contexts struct {
	Current string   `json:"current,omitempty"` // empty: the appliance on this host
	Servers []remote `json:"contexts,omitempty"`
}

// remote is an appliance elsewhere, and what it takes to speak to it.
type remote struct {
	Name  string `json:"name,omitempty"`
	URL   string `json:"server"`
	Token string `json:"token,omitempty"` // an API token
	CA    string `json:"ca,omitempty"`    // PEM certificates that vouch for it; empty: those of the system
}

// contextsPath is where the contexts are kept.
func contextsPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the configuration directory: %w", err)
	}
	return filepath.Join(dir, "dragonfly", "config.yaml"), nil
}

// loadContexts reads the contexts; none where there is no file.
func loadContexts() (c contexts, err error) {
	path, err := contextsPath()
	if err != nil {
		return c, nil // a service without a home has no contexts
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return c, fmt.Errorf("%s has tokens in it and others may read it: chmod 600 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read contexts: %w", err)
	}
	if err := manifest.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read contexts from %s: %w", path, err)
	}
	return c, nil
}

// save writes the contexts over those there are, whole or not at all.
func (c contexts) save() error {
	path, err := contextsPath()
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save contexts: %w", err)
	}
	if err := durable.Replace(path, text); err != nil {
		return fmt.Errorf("save contexts: %w", err)
	}
	return nil
}

// find is where the context of that name stands, or an error that names the
// nearest.
func (c contexts) find(name string) (int, error) {
	known := []string{localContext}
	for i, s := range c.Servers {
		if s.Name == name {
			return i, nil
		}
		known = append(known, s.Name)
	}
	message := fmt.Sprintf("there is no context %.40q", name)
	if near := registry.Nearest(name, known); near != "" {
		return 0, usageError{errors.New(message + "; did you mean " + near + "?")}
	}
	return 0, usageError{errors.New(message + "; there are " + strings.Join(known, ", "))}
}

// put adds a context, or replaces the one of its name. They are kept by name.
func (c *contexts) put(s remote) {
	c.Servers = slices.DeleteFunc(c.Servers, func(old remote) bool { return old.Name == s.Name })
	c.Servers = append(c.Servers, s)
	slices.SortFunc(c.Servers, func(a, b remote) int { return strings.Compare(a.Name, b.Name) })
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// checkContextName refuses a name that a context cannot have.
func checkContextName(name string) error {
	if name == localContext {
		return usageError{errors.New(localContext + " is the appliance on this host, and always there; choose another name")}
	}
	if !contextName.MatchString(name) {
		return usageError{fmt.Errorf("context %.80q: a name has letters, digits and . _ -, at most 63", name)}
	}
	return nil
}

// parseServer reads the URL of a server: without a path, a query or a password.
func parseServer(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", usageError{fmt.Errorf("server %.80q: want a URL such as http://appliance.example:3000", text)}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", usageError{fmt.Errorf("server %s://%s: want scheme, host and port, and nothing else", u.Scheme, u.Host)}
	}
	return u.Scheme + "://" + u.Host, nil
}

// readCA reads a file of PEM certificates.
func readCA(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the certificates: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return "", usageError{fmt.Errorf("%s has no certificate in PEM form", path)}
	}
	return string(text), nil
}
