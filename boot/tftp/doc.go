// Package tftp serves the network boot programs to firmware, by TFTP (RFC 1350)
// with block size (RFC 2348) and size (RFC 2349), and nothing else: it is
// read-only, it knows its files by name, and a name that is not on the list never
// reaches the disk.
//
// One block is sent and its acknowledgement waited for, so what is served here is to
// be small; everything large goes over HTTP. Options that are not served, such as the
// window of RFC 7440, are left out of the answer (RFC 2347).
//
// A request is a single packet whose source may be forged. Until its client has
// acknowledged something, a transfer is unproven, and the oldest unproven one makes
// room for a newcomer where all places are taken. It ends without a word: a client
// that is real asks once more. It has at most six seconds anyway, and the same request
// from the same address and port begins no second one. A transfer that has been
// acknowledged once keeps its place.
//
// The tests' client is github.com/pin/tftp, so that this package's own reading of the
// protocol is not its judge.
//
// One file is made on the spot: autoexec.ipxe, which iPXE on UEFI asks for before
// anything else. It sends iPXE straight to the machine's script with the address
// that the firmware was given, and so saves a second round of DHCP and iPXE's
// wait of four seconds for an IPv6 router.
package tftp
