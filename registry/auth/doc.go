// Package auth decides who may do what: boot and machine tokens for machines,
// accounts with passwords and sessions for operators, and the [Gate] that every
// request passes. Every route is denied unless a rule here allows it, and nobody
// is trusted by address: the loopback address counts only until the first
// account exists, and the control socket counts because its file mode does.
package auth
