// Package api is /api/v1: the server and its client in one place, so that the
// agent, the command line and the tests speak exactly what the server serves.
// It owns the wire shapes (wire.go) and the one mapping of errors to statuses
// (problem.go): every error is a problem+json document (RFC 9457).
package api
