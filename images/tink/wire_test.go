package tink

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"dragonfly/registry"
)

func anAction() Action {
	return Action{Workflow: "ns/wf", Task: "t", Agent: "a", ID: "i", Name: "n", Image: "image2disk", Timeout: 60, Command: []string{"x", ""},
		Volumes: []string{"/dev:/dev"}, Environment: []string{"A=b"}, PID: "host", Network: "host"}
}

func aStatus() Status {
	at := time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC)
	return Status{Workflow: "ns/wf", Agent: "a", Task: "t", Action: "i", Name: "n", State: Failed, Start: at, Stop: at.Add(time.Second), Duration: "1s", Message: "why"}
}

func TestActionIsReadAsItWasWritten(t *testing.T) {
	for _, want := range []Action{{}, anAction(), {Timeout: -1}} {
		var got Action
		if err := got.unmarshal(want.marshal()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestStatusIsReadAsItWasWritten(t *testing.T) {
	for _, want := range []Status{{}, aStatus()} {
		var got Status
		if err := got.unmarshal(want.marshal()); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestActionPIDs(t *testing.T) {
	old := appendText(nil, 11, "host")
	both := appendMessage(appendText(nil, 11, "container:x"), 12, appendText(nil, 2, "host"))
	for _, b := range [][]byte{old, both} {
		var got Action
		if err := got.unmarshal(b); err != nil || got.PID != "host" {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

// What is not known is passed over, and what has another type than it should, as by
// any reader of the format.
func TestUnknownFieldsArePassedOver(t *testing.T) {
	b := anAction().marshal()
	b = appendText(b, 99, "later")
	b = protowire.AppendFixed64(protowire.AppendTag(b, 98, protowire.Fixed64Type), 7)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 7, protowire.Fixed32Type), 7)
	b = protowire.AppendTag(protowire.AppendTag(b, 97, protowire.StartGroupType), 97, protowire.EndGroupType)
	b = appendNumber(b, 5, 12)
	b = appendNumber(b, 8, 12)
	b = appendText(b, 7, "soon")
	var got Action
	if err := got.unmarshal(b); err != nil || !reflect.DeepEqual(got, anAction()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBrokenMessagesAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"a length past the end": {0x0a, 0x05, 'a'},
		"no value":              {0x0a},
		"field 0":               {0x00, 0x01},
		"a number without end":  bytes.Repeat([]byte{0xff}, 20),
		"a text that is none":   {0x0a, 0x01, 0xff},
		"a time that is none":   appendMessage(nil, 7, []byte{0x08}),
	} {
		var s Status
		if err := s.unmarshal(b); err == nil {
			t.Errorf("%s: read %+v", name, s)
		}
	}
}

func TestFrame(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want string
		err  error
	}{
		"a message":           {string(frame([]byte("abc"))), "abc", nil},
		"an empty message":    {string(frame(nil)), "", nil},
		"nothing":             {"", "", io.EOF},
		"half a head":         {"\x00\x00", "", io.ErrUnexpectedEOF},
		"half a message":      {"\x00\x00\x00\x00\x03ab", "", io.ErrUnexpectedEOF},
		"compressed":          {"\x01\x00\x00\x00\x00", "", &Error{Code: Unimplemented}},
		"too large":           {"\x00\xff\xff\xff\xff", "", &Error{Code: ResourceExhausted}},
		"something behind it": {string(frame(nil)) + "x", "", &Error{Code: InvalidArgument}},
	} {
		got, err := unframe(strings.NewReader(test.in), maxMessage)
		var want *Error
		if errors.As(test.err, &want) && CodeOf(err) != want.Code || want == nil && !errors.Is(err, test.err) || string(got) != test.want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestMessagesOfErrors(t *testing.T) {
	for _, text := range []string{"", "plain", "100% größer\n", "%", "%zz", "%4"} {
		encoded := encodeMessage(text)
		if strings.ContainsFunc(encoded, func(c rune) bool { return c < ' ' || c > '~' }) || decodeMessage(encoded) != text {
			t.Errorf("%q became %q and %q", text, encoded, decodeMessage(encoded))
		}
	}
	if got := decodeMessage("50%, %4z and %e4"); got != "50%, %4z and ?" {
		t.Errorf("got %q", got)
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{-1: "", 0: "", 512: "512B", 1024: "1KB", 16 << 30: "16GB", 16<<30 + 1: "17GB", 1<<63 - 1: "8EB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
}

func TestAttributesOfNothing(t *testing.T) {
	if b := attributes(registry.Hardware{}); len(b) != len(appendMessage(nil, 3, nil)) {
		t.Errorf("nothing is %x", b)
	}
}

// FuzzMessages: whatever comes is read or refused, and what was read is read again
// from what we make of it.
func FuzzMessages(f *testing.F) {
	f.Add(anAction().marshal())
	f.Add(aStatus().marshal())
	f.Add(request{agent: "52:54:00:00:00:01", attributes: attributes(registry.Hardware{CPU: registry.CPU{Sockets: 1, Cores: 4}})}.marshal())
	f.Add([]byte{0x3a, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a, a2 Action
		if a.unmarshal(b) == nil {
			if err := a2.unmarshal(a.marshal()); err != nil || !reflect.DeepEqual(a, a2) {
				t.Errorf("action %+v became %+v, %v", a, a2, err)
			}
		}
		var s, s2 Status
		if s.unmarshal(b) == nil {
			if err := s2.unmarshal(s.marshal()); err != nil || s.Message != s2.Message || s.State != s2.State {
				t.Errorf("status %+v became %+v, %v", s, s2, err)
			}
		}
		var r request
		_ = r.unmarshal(b)
		if message, err := unframe(bytes.NewReader(b), maxMessage); err == nil && !bytes.Equal(frame(message), b) {
			t.Errorf("frame %x became %x", b, message)
		}
	})
}
