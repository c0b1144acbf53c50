// Package boot decides what a machine that boots from the network is given.
//
// It is pure: no socket, no packet, no clock, no database. A [Client] is what a
// machine said about itself; [Decide] turns it into an [Offer], and [PlanFor]
// turns what we know of the machine into a [Plan]. Both say in words which rule
// decided, so that "dragonfly explain" and the machine's timeline show the very
// reason and not a reconstruction of it.
//
// A boot asks twice. Firmware asks first and is offered a network boot program,
// which is always iPXE; iPXE asks again and is offered its script. The chain ends
// there because iPXE says what it is (DHCP options 77 and 175), and an iPXE that
// already is one of our programs is never given a program again.
//
// The neighbours carry the decisions out: boot/dhcp turns packets into clients
// and offers into packets, boot/tftp and boot/ipxe serve the files and scripts.
package boot
