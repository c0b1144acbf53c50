// Package dhcp is the wire side of network booting: it reads what a client asks
// ([Parse]), lets [boot.Decide] choose, and writes the answer ([Reply]). Those
// three are pure; only [Server] sees a socket.
//
// Dragonfly never gives out an address. It is a proxyDHCP server (Preboot
// Execution Environment 2.1, section 2): the site's own DHCP server answers the
// same DISCOVER with an address, and the client puts the two offers together.
// Where firmware insists, it comes back to port 4011 (the PXE boot server, or
// BINL, exchange) and is told the same there.
//
// The package has its own option reader and reply writer, because a rack that
// comes back from a power failure asks all at once. They allocate nothing, where
// github.com/insomniacslk/dhcp allocates 52 times for one question and answer and
// starts a goroutine for each packet: a storm is a loop here, not a heap. The
// library stays the judge: the parser is fuzzed against it, every reply in the
// tests is read back with it, and boottest's client speaks through it.
//
// Sources: RFC 2131 and 2132 (DHCP), 3046 (relays), 3396 (split options), 4578
// (PXE options), UEFI 2.10 section 24.7 (HTTP Boot), and what firmware really
// does, which is noted on the line that obeys it.
package dhcp
