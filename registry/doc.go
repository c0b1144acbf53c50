// Package registry is the ground floor of Dragonfly: what a machine is, what
// may happen to it, and the use cases that change it.
//
// It knows no database, no wire format and no protocol. A [Machine] is our
// record of one physical computer; [Hardware] is what the agent found in it; an
// [Event] is one thing that happened, numbered by the store, so that every
// listener can resume where it stopped. Pure functions decide ([Match],
// [State.Step], [Name]); [Registry] loads, decides and writes once, through the
// [Store] it is given. A lost race is retried from the load, never overwritten.
package registry
