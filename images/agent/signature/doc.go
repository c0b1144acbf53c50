// Package signature recognises what is on a disk by its magic numbers, as blkid(8)
// and wipefs(8) do: file systems, swap, encryption, and the members of arrays,
// volume groups and pools, of which a disk that is erased may be the last.
//
// It reads through an [io.ReaderAt] and never writes. Nothing that it reads is
// believed: offsets, lengths and counts are bounded, and texts are what a terminal
// may show. A signature carries the places of its magic numbers, so that what can
// be recognised can also be erased.
//
// Offsets and layouts are those of util-linux's libblkid, the kernel's headers and,
// where there is one, the published format (SNIA DDF 2.0, OpenZFS's on-disk
// format, LVM2's label).
package signature
