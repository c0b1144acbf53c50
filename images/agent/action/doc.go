// Package action carries out the steps of a Tinkerbell template natively, in the
// agent image: no container, no program, no shared library is there but this one.
//
// A template names its actions by the images that would do them elsewhere, such
// as quay.io/tinkerbell/actions/image2disk:v1; [Lookup] finds what does the same
// here by the last element of that reference, and the action reads the variables
// of the public one. What the agent cannot do is refused with [Check] before the
// first action of a template runs.
//
// Three promises hold for every action:
//
//   - Before it changes anything on a disk it calls [Env.Writing], and where that
//     answers with an error it changes nothing. So a deployment that is cancelled
//     before the first write leaves the disk as it was, and afterwards it is known
//     which disk is no longer what it was.
//   - It ends soon after its context does, with the context's cause.
//   - An error names what was being done to what, and why it did not work.
//
// Linux only, and static: no cgo.
package action
