// Package tinkerbell knows the language in which an installation is written: the
// Tinkerbell template, version 0.1, which is a list of tasks, each a list of
// actions, each a container image with its environment. It is pure: text in,
// text and problems out; nothing here touches a machine.
//
// A template is a Go text/template that renders to YAML. Three steps make one of
// it that can be carried out, and each tells everything that is wrong at once,
// with the line of the text that its author wrote:
//
//   - [Render] puts the data of a machine into it ([NewData]).
//   - [Parse] reads the YAML. What Tinkerbell refuses is refused; so is what it
//     passes over in silence and no author means: a member it does not know, a
//     name given twice, a second document.
//   - [Template.Validate] says what would be accepted and then fail on the
//     machine, such as an image2disk without a DEST_DISK.
//
// The behaviour is that of the Tinkerbell stack v0.25.0
// (tink/controller/internal/workflow: template_funcs.go, template_validator.go,
// types.go), so that one template does the same in both engines. What Tinkerbell
// does not bound is bounded here: see limits.go.
package tinkerbell
