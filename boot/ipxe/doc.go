// Package ipxe serves what a machine boots over HTTP: the network boot programs,
// the script that tells iPXE what to do, and the agent's kernel and initramfs.
//
// Everything lies under /boot/. [Handler] looks the machine up in memory, lets
// [boot.PlanFor] decide, and renders a [Script]; nothing waits for the database.
// A script always ends somewhere: it retries what fails, says on the screen what
// it waits for, and in the end boots the machine's own disk.
//
// A value reaches a script only through a function of the template that refuses
// everything iPXE or the kernel could take for syntax. Nothing is escaped, since
// what is not plain has no business there.
package ipxe
