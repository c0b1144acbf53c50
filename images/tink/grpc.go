package tink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Code is the outcome of a call, as gRPC numbers them.
type Code int

// The outcomes that are told apart here.
const (
	OK                 Code = 0
	Unknown            Code = 2
	InvalidArgument    Code = 3
	NotFound           Code = 5
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
)

var codeNames = map[Code]string{OK: "ok", Unknown: "unknown", InvalidArgument: "invalid argument", NotFound: "not found",
	ResourceExhausted: "resource exhausted", FailedPrecondition: "failed precondition", Unimplemented: "unimplemented",
	Internal: "internal", Unavailable: "unavailable"}

// String is the code in words.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code %d", int(c))
}

// Error is a call that was answered, and refused.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// CodeOf is the outcome that err stands for: that of an [*Error], and Unavailable for
// a call that was not answered.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.Code
	}
	return Unavailable
}

// The methods of the service.
const (
	service      = "/proto.WorkflowService/"
	getAction    = service + "GetAction"
	reportStatus = service + "ReportActionStatus"
)

const (
	contentType = "application/grpc"
	headSize    = 5       // of the frame around a message: whether it is compressed, and its length
	maxMessage  = 4 << 20 // bytes, as gRPC's own library takes them
)

// frame is a message as it goes over the wire.
func frame(message []byte) []byte {
	b := make([]byte, headSize, headSize+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// unframe reads the one message of a call, of so many bytes at most, and to the end of
// it: the trailers come behind that.
func unframe(from io.Reader, most int64) ([]byte, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	if head[0] != 0 {
		return nil, &Error{Unimplemented, "the message is compressed; want it as it is"}
	}
	size := int64(binary.BigEndian.Uint32(head[1:]))
	if size > most {
		return nil, &Error{ResourceExhausted, fmt.Sprintf("the message has %d bytes; want %d at most", size, most)}
	}
	message, err := io.ReadAll(io.LimitReader(from, size))
	if err == nil && int64(len(message)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if n, _ := io.CopyN(io.Discard, from, 1); n > 0 {
		return nil, &Error{InvalidArgument, "there is something behind the message"}
	}
	return message, nil
}

// encodeMessage makes of an error's text the value of a header (grpc-message).
func encodeMessage(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// decodeMessage is the reverse; what is not encoded as it should be stays as it is.
func decodeMessage(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if c, err := strconv.ParseUint(value[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return strings.ToValidUTF8(b.String(), "?")
}
