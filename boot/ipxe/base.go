package ipxe

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// baseURL is our URL as the client reached us. It goes into the kernel's command
// line, so the Host header has to be an address or a host name, and a port, and
// nothing that could be more.
func baseURL(r *http.Request) (string, error) {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil { // no port
		host, port = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]"), ""
	}
	if !validHost(host) || !validPort(port) {
		return "", fmt.Errorf("header Host %.60q: want an address or host name, and a port where it is not the usual one", r.Host)
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host, nil
}

func validPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && port[0] != '+'
}

// validHost accepts IP addresses and the names of RFC 1123 section 2.1.
func validHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == "" // a zone means something to one machine only
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.Trim(label, alphanumeric+"-") != "" {
			return false
		}
	}
	return true
}
