// Package agent is what runs on a machine that has no operating system yet.
//
// It is PID 1 of the agent image. [Init] mounts what the kernel offers, opens
// the console and reads the kernel command line. [Run] then does three things
// side by side: it loads the modules of the devices that are there, it gets an
// address for every port with a link, and it reads the inventory as soon as the
// devices have settled. With an address and an inventory it registers, waits
// for instructions by long poll and carries them out, until a reboot ends it.
//
// Reading and deciding are pure: everything read from sysfs and procfs comes
// through an [io/fs.FS], so that tests run on recorded trees. What changes the
// machine (mount, load, reboot) is a function value in [Config].
//
// The agent writes to a disk for a deployment alone: to the one disk that was agreed
// to, after the server has taken a report that says so. What it has begun to write
// it marks as this machine's.
//
// Booted with the kernel arguments of HookOS ([ParseCmdline]) it is a worker of
// Tinkerbell instead, and carries out the actions of Workflows with what is in
// package action: no container, and what a Workflow says is written to is.
package agent
