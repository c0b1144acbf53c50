// Package cluster is the live side of the hand-off to Tinkerbell: it speaks to the
// Kubernetes API that Tinkerbell has its objects in. What is said there is made and
// read by package objects.
//
//   - [Find] says where that API is, and [Dial] makes a connection of it.
//   - [Cluster.Check] looks whether everything is there that the hand-off needs.
//   - [Plain] says in plain words what went wrong.
//   - [RBAC] is what Dragonfly has to be allowed.
package cluster
