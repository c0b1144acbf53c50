package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Plain says in plain words what went wrong with a request to Kubernetes, and what to
// do about it where that is known.
func Plain(err error) string {
	if err == nil {
		return ""
	}
	for _, say := range []func(error) string{ofNetwork, ofTLS, ofAnswer, ofKubernetes, ofNonsense} {
		if text := say(err); text != "" {
			return text
		}
	}
	return err.Error()
}

// ofNetwork is about a connection that nobody answers.
func ofNetwork(err error) string {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection broke"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way there: " + syscall.EHOSTUNREACH.Error()
	case isDNS:
		return "no such host: " + dns.Name
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isNet && timeout.Timeout():
		return "no answer in time: the API or the network is too slow"
	}
	return ""
}

// ofTLS is about certificates.
func ofTLS(err error) string {
	unknown, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	host, isHost := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isPlain := errors.AsType[tls.RecordHeaderError](err)
	alert, isAlert := errors.AsType[tls.AlertError](err)
	switch {
	case isUnknown:
		return "TLS: " + unknown.Error() + "; the kubeconfig has to have the certificate of this cluster's authority"
	case isHost:
		return "TLS: " + host.Error()
	case isInvalid:
		return "TLS: " + invalid.Error()
	case isPlain, strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "TLS: what answers there speaks no TLS"
	case isAlert:
		return "TLS: refused by the API: " + alert.Error()
	}
	return ""
}

// ofAnswer is about answers that are read by ourselves.
func ofAnswer(err error) string {
	if odd, ok := errors.AsType[*strange](err); ok {
		return odd.Error()
	}
	is, ok := errors.AsType[*status](err)
	if !ok {
		return ""
	}
	switch is.Code {
	case http.StatusUnauthorized:
		return unauthorized
	case http.StatusForbidden:
		return "the API does not let us look at " + is.Path
	}
	return is.Error()
}

const unauthorized = "Kubernetes does not know us: the token or certificate is wrong, or has expired"

// ofKubernetes is about what the API said.
func ofKubernetes(err error) string {
	said, _ := errors.AsType[*apierrors.StatusError](err)
	switch {
	case meta.IsNoMatchError(err):
		return "Tinkerbell's CRDs are not there: " + err.Error()
	case said == nil:
		return ""
	case apierrors.IsUnauthorized(err):
		return unauthorized
	case apierrors.IsForbidden(err):
		return "we may not: " + said.Status().Message + "; `dragonfly tinkerbell rbac" + map[bool]string{true: " --bmc"}[isBMC(said)] + "` prints the role that is needed"
	case apierrors.IsNotFound(err) && !isGone(err):
		return map[bool]string{true: "Rufio", false: "Tinkerbell"}[isBMC(said)] + "'s CRDs are not there"
	case apierrors.IsTooManyRequests(err):
		return "the API is overloaded"
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return "the API takes too long: " + said.Status().Message
	}
	return said.Status().Message
}

// isBMC reports whether an answer is about the kinds of Rufio.
func isBMC(said *apierrors.StatusError) bool {
	details := said.Status().Details
	return details != nil && details.Group == BMC.Group
}

// ofNonsense is about answers that the Kubernetes client cannot read, which it has no
// kind of error for.
func ofNonsense(err error) string {
	text := err.Error()
	for _, says := range []string{"couldn't get version/kind", "serializer for ", "Object 'Kind' is missing"} {
		if strings.Contains(text, says) {
			return "what answers there is no Kubernetes API, or something in between is broken"
		}
	}
	return ""
}
