// Package manifest is the text in which machines, the catalogue, rules and defaults are
// kept beside an appliance, in git say: YAML with a document for each machine and each
// operating system, one for the rules, and one for the defaults. It is pure: it reads and
// writes text, and knows no store.
//
//	apiVersion: dragonfly/v1
//	kind: Rules
//	rules:
//	- name: rack 1
//	  match:
//	    vendor: Dell*
//	  set:
//	    tags:
//	    - gpu
//	---
//	apiVersion: dragonfly/v1
//	kind: Machine
//	name: rack1-7
//	macs:
//	- "52:54:00:12:34:56"
//	serial: 7XK2Q54
//	owner: ana
//
// A document of kind Defaults has the fields of a [registry.Seed]; in place of the hash
// of a password it has [registry.HashKept].
//
// A document of kind OperatingSystem has the fields of a [registry.OS]. Of one that
// comes with each version (builtin) only whether it is disabled counts.
//
// A document of kind Machine has the fields of a [registry.Listed]: what a machine
// is recognised by, and what operators say of it. What the machine reports beside
// that, and what is secret, is in no document. What a document does not say stays as
// it is stored.
//
// A [Writer] writes the same text for the same machines, wherever they are stored:
// fields in the order of their structs, keys sorted, and in quotes whatever a reader
// of YAML 1.1 or 1.2 might take for anything but text. [Parse] is strict: an unknown
// field, a field or a machine that comes twice, or a value of another type is an
// error with its line. Anchors, aliases and tags are not read, so that a short text
// is a small one.
//
// [ParseList] reads what people have before that: a sheet, or the list of another
// inventory, in CSV, JSON or YAML. It makes documents of it, so that all that is done
// with a manifest can be done with a list.
//
// Structs are read and written by their json tags, so that a field which is added to
// [registry.Listed] or [registry.Rule] is a field of the manifest. A further kind is a constant, a case of
// decoder.read, a method of [Writer] and a member of [registry.Wanted].
package manifest
