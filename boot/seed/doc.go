// Package seed makes what an installed system is given when it starts for the
// first time: the user data, meta-data and network configuration of cloud-init,
// an Ignition config, or a Talos machine config.
//
// It is pure: no socket, no clock, no file. [Render] takes what is wanted
// ([registry.Seed]) from several layers, of which each is more special than the
// one before (the defaults, the operating system's, those of tags, the machine's), and gives
// [Documents], or everything that is wrong with them at once. Nothing that is
// wrong gets as far as a machine.
//
// The documents go two ways. A template writes them to the installed disk, as
// the parameters of [Documents.Parameters]; and package boot/metadata serves
// them to a system that asks over HTTP.
//
// DESIGN.md has the rules of merging and the strange facts about those who read
// the documents.
package seed
