package registry

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotFound is returned where the object asked for does not exist.
var ErrNotFound = errors.New("not found")

// ErrUnavailable is returned where the store cannot be reached or has no
// leader. Nothing was changed, or it cannot be known; asking again is safe.
var ErrUnavailable = errors.New("the database is not available; retry in a moment")

// ConflictError is a lost race: the object changed after it was read. It may be
// retried from the load.
type ConflictError struct {
	Object string // what changed: "machine m-7f3a", "name brave-otter" or "hardware address 52:..."
	Read   int64  // the version that was read
	Stored int64  // the version there is now; 0 where it is gone, or not known
}

func (e *ConflictError) Error() string {
	if strings.HasPrefix(e.Object, "name ") || strings.HasPrefix(e.Object, "hardware address ") {
		return fmt.Sprintf("the %s is that of another machine", e.Object)
	}
	if e.Stored == 0 {
		return fmt.Sprintf("%s changed after version %d was read; load it and try again", e.Object, e.Read)
	}
	return fmt.Sprintf("%s is at version %d and version %d was read; load it and try again", e.Object, e.Stored, e.Read)
}

// nameTaken reports whether err is a lost race for a machine's name.
func nameTaken(err error) bool {
	lost, ok := errors.AsType[*ConflictError](err)
	return ok && strings.HasPrefix(lost.Object, "name ")
}

// LockedError is returned for what a locked machine is kept from.
type LockedError struct {
	By, Note string
}

func (e *LockedError) Error() string {
	text := "the machine is locked by " + e.By
	if e.Note != "" {
		text += ": " + e.Note
	}
	return text
}

// TransitionError is a change of state that the table does not allow.
type TransitionError struct {
	From  State
	Cause Cause
}

func (e *TransitionError) Error() string {
	text := fmt.Sprintf("a machine that is %s may not %s", e.From, e.Cause)
	switch e.From {
	case Discovered:
		text += "; it has to register first: boot it from the network"
	case Installing:
		text += "; cancel its deployment first, or wait for its end"
	case Retired:
		text += "; restore it first"
	}
	return text
}

// RefusalError says why something cannot be done as things are.
type RefusalError struct{ Why string }

func (e *RefusalError) Error() string { return e.Why }

// InvalidError says what is wrong with an input, field by field.
type InvalidError struct {
	Fields []FieldError
}

// FieldError is one wrong field. Pointer is a JSON pointer (RFC 6901) into the
// input, such as "/hardware/disks/0/serial".
type FieldError struct {
	Pointer, Message string
}

func (e *InvalidError) Error() string {
	parts := make([]string, 0, len(e.Fields))
	for _, f := range e.Fields {
		parts = append(parts, f.Pointer+": "+f.Message)
	}
	return "invalid input: " + Clauses(parts...)
}

// Clauses joins the parts of a message by semicolons; what follows a question stands by
// itself.
func Clauses(parts ...string) string {
	return strings.ReplaceAll(strings.Join(parts, "; "), "?; ", "? ")
}
