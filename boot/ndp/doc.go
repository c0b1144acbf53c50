// Package ndp tells an iPXE that waits for an IPv6 router that there is none.
//
// iPXE configures IPv4 and IPv6 together, and goes on when both have come to an
// end. On a network without an IPv6 router its solicitations are answered by
// nobody, and it gives up after four seconds; a BIOS machine loads one iPXE with
// another and waits twice. That is a third of its way from power-on to the agent.
//
// So a solicitation (RFC 4861 section 4.1) is answered with an advertisement that
// announces nothing: a router lifetime of 0, which says "not a default router"
// (section 4.2), no prefix, no flag that asks for DHCPv6. Where a router is, too,
// its own advertisements count as before.
//
// Nobody else can hear it: it is sent to the one machine that asked, and only to
// an iPXE that was given its boot file within the last half minute
// ([Server.Expect]). Firmware and operating systems are left alone.
package ndp
