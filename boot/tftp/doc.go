// Package tftp serves the network boot programs to firmware, by TFTP (RFC 1350)
// with block size (RFC 2348) and size (RFC 2349), and nothing else: it is
// read-only, it knows its files by name, and a name that is not on the list never
// reaches the disk.
//
// The protocol is github.com/pin/tftp's. It sends one block and waits for its
// acknowledgement, so what is served here is to be small; everything large goes
// over HTTP.
//
// One file is made on the spot: autoexec.ipxe, which iPXE on UEFI asks for before
// anything else. It sends iPXE straight to the machine's script with the address
// that the firmware was given, and so saves a second round of DHCP and iPXE's
// wait of four seconds for an IPv6 router.
package tftp
