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
	if !validHostPort(r.Host) {
		return "", fmt.Errorf("header Host %.60q: want an address or host name, and a port where it is not the usual one", r.Host)
	}
	if r.TLS != nil {
		return "https://" + r.Host, nil
	}
	return "http://" + r.Host, nil
}

func validHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		return err == nil && n > 0 && validHost(host)
	}
	if inner, ok := strings.CutPrefix(s, "["); ok { // an IPv6 address without a port
		host, closed := strings.CutSuffix(inner, "]")
		return closed && validHost(host)
	}
	return !strings.Contains(s, ":") && validHost(s)
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
