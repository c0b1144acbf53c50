// Package images builds what a machine boots into before it has an operating
// system of its own: the agent image, and the network boot programs that lead
// to it.
//
// [Build] takes Debian's kernel for the architecture, the modules for the
// network cards and disk controllers of servers ([debug/elf] reads what each
// needs from its .modinfo, as depmod would), the firmware that those modules
// name, and a static agent that becomes /init, and packs them: vmlinuz as the
// package has it, and an initramfs.zst, in which the drivers that a virtual machine
// does not have stay packed until one is needed (package packed). The packages come from Debian's archive
// through a private apt root, checked by Debian's own keyring; nothing of the
// host is changed and nothing binary is kept with the sources. The same
// packages and the same agent give the same bytes; manifest.json names them.
package images
