// Package objects is what Dragonfly and Tinkerbell have to say to each other, as
// pure functions: nothing here opens a connection.
//
//   - [Build] makes of a deployment the three objects that Tinkerbell carries it out
//     by: Hardware, Template and Workflow (tinkerbell.org/v1alpha1, the schemas of
//     v0.25.0).
//   - [AllowPXE], [Carry] and [PXEPatch] are for the one field of them that belongs to
//     Tinkerbell's controller as well, and [Edited] for what somebody changed by hand.
//   - [Observe] says by a Workflow's status what has become of a deployment, as reports
//     for the registry, and why it failed.
//
// The recipe of a deployment is frozen when it is made, and an object is derived
// from it: what is built of one deployment is the same whenever it is built. Whoever
// may read the objects in the namespace reads the keys and passwords of its user
// data.
package objects
