// Package registrytest helps to test whatever stands on a [registry.Store].
//
// [Store] is the contract: a new store is right when it passes. [Memory] is a
// store that does, kept in memory, for tests that need a registry and no
// database. [Broken] is a store that always fails, for the paths nobody walks
// on a good day.
package registrytest
