// Package boottest is a PXE ROM in Go: what net/http/httptest is to a web server.
//
// A [ROM] asks as real firmware does (its option sets are taken from captures of
// SeaBIOS, OVMF and iPXE), checks the answers as strictly as the strictest of
// them, loads the program, becomes the iPXE in it, asks again and fetches the
// script. It speaks DHCP through github.com/insomniacslk/dhcp and TFTP through
// github.com/pin/tftp, so that the server's own packet code is not its judge.
//
// It needs no privileges: all addresses and ports are given, so tests run on
// loopback, and a simulator can run hundreds.
package boottest
