package rqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// defaultPort is where rqlite serves its HTTP API.
const defaultPort = "4001"

// Remote reads the address of an rqlite cluster: one or more host[:port],
// separated by commas, after an optional scheme and user:
//
//	db
//	db:4001
//	https://user:password@a:4001,b:4001
//
// A user or password with reserved characters is written as in every URL: %40
// is @.
//
// One node is enough, since each passes on what it cannot answer; with several
// the next one is asked when one is down. The options are for https.
func Remote(address string, options ...Option) (Config, error) {
	nodes, err := parseRemote(address)
	if err != nil {
		// Without the text: it may hold a password.
		return Config{}, fmt.Errorf("address of rqlite: %w; want [https://][user:password@]host[:port][,host[:port]...]", err)
	}
	secure, err := tlsConfig(nodes[0].Scheme, options)
	if err != nil {
		return Config{}, fmt.Errorf("connect to rqlite: %w", err)
	}
	client := &http.Client{Transport: newCluster(nodes, secure), Timeout: patience + answerTimeout}
	return Config{URL: nodes[0].Scheme + "://" + nodes[0].Host, HTTP: client}, nil
}

// Node is rqlite in this process: package node has it.
type Node interface {
	Executor
	Client() *http.Client // calls it in memory
	Copy(ctx context.Context, w io.Writer) error
}

// Embedded is for the node in this process. A member of a cluster has no answer
// while a leader is elected; it is asked again until it has.
func Embedded(n Node) Config {
	self := &url.URL{Scheme: "http", Host: "embedded"}
	asking := &cluster{nodes: []*url.URL{self}, base: n.Client().Transport, patience: electionPatience}
	return Config{HTTP: &http.Client{Transport: asking}, Direct: n, Copy: n.Copy}
}

func parseRemote(address string) ([]*url.URL, error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "http", address
	}
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("scheme %q is neither http nor https", scheme)
	}
	var user *url.Userinfo
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		name, password, _ := strings.Cut(rest[:at], ":")
		user, rest = url.UserPassword(unescape(name), unescape(password)), rest[at+1:]
	}
	var nodes []*url.URL
	for host := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), ",") {
		host, err := hostPort(strings.TrimSpace(host))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, &url.URL{Scheme: scheme, User: user, Host: host})
	}
	return nodes, nil
}

// unescape reads %40 as @, as in every URL (RFC 3986 section 2.1); a percent sign
// that starts no such escape stands for itself.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// hostPort completes a host with rqlite's port and checks both.
func hostPort(s string) (string, error) {
	if s == "" {
		return "", errors.New("a host is empty")
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil { // no port, or an IPv6 address without brackets
		host, port = strings.Trim(s, "[]"), defaultPort
	}
	u, err := url.Parse("http://" + net.JoinHostPort(host, port))
	if err != nil || u.Hostname() != host || host == "" {
		return "", fmt.Errorf("host %q is not a name or an address", s)
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return "", fmt.Errorf("host %q: port %q is not a number from 1 to 65535", s, port)
	}
	return u.Host, nil
}

// How long a database gets.
const (
	patience         = 5 * time.Second // to find a node that answers, before giving up
	dialTimeout      = 2 * time.Second
	electionPatience = 3 * time.Second  // an election takes about one
	answerTimeout    = 15 * time.Second // for one answer, once connected
)
