// Package partition reads, writes and grows the partition tables of disks: GPT
// (UEFI 2.10 chapter 5) and the older DOS table in the master boot record.
//
// Reading is for disks of which nothing is known: every count is bounded, every
// checksum is compared, and where the first copy of a GPT is damaged the second
// one is read. Writing is for disks that are ours: a whole table, or an old one
// whose last partition gets the room behind it.
//
// All sizes and positions are in bytes.
package partition
