// Package sshkeys fetches public SSH keys from where people publish them, such as
// https://github.com/ana.keys. It is asked when an operator adds keys, never while a
// machine boots: what was fetched is kept, so that a key that somebody publishes
// later opens nothing.
package sshkeys
