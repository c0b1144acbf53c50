package rqlite

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// Option refines how [Remote] connects over TLS.
type Option func(*tls.Config) error

// WithCA trusts the certificate authorities in a PEM file, and no others. Without
// a file the host's are trusted.
func WithCA(file string) Option {
	return func(cfg *tls.Config) error {
		if file == "" {
			return nil
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read CA file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read CA file %s: no certificate in PEM form in it", file)
		}
		return nil
	}
}

// WithCertificate shows the certificate in two PEM files to a database that asks
// for one. They are read at every handshake, so a renewed one needs no restart.
func WithCertificate(certFile, keyFile string) Option {
	return func(cfg *tls.Config) error {
		if certFile == "" && keyFile == "" {
			return nil
		}
		if certFile == "" || keyFile == "" {
			return errors.New("read client certificate: want both its file and its key's file")
		}
		load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("read client certificate: %w", err)
			}
			return &pair, nil
		}
		cfg.GetClientCertificate = load
		_, err := load(nil) // a wrong file is told at the start
		return err
	}
}

// tlsConfig is what the options make of the host's defaults.
func tlsConfig(scheme string, options []Option) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, option := range options {
		if err := option(cfg); err != nil {
			return nil, err
		}
	}
	if scheme != "https" && (cfg.RootCAs != nil || cfg.GetClientCertificate != nil) {
		return nil, errors.New("a CA file or a client certificate is of no use without https://; the address has http://")
	}
	return cfg, nil
}

// distrusted reports whether a handshake failed because one side does not accept
// the other's certificate, which asking again does not change.
func distrusted(err error) bool {
	if _, ours := errors.AsType[*tls.CertificateVerificationError](err); ours {
		return true
	}
	theirs, ok := errors.AsType[*net.OpError](err)
	return ok && theirs.Op == "remote error" // an alert (RFC 8446 section 6)
}
