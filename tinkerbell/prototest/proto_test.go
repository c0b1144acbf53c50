package prototest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/tinkerbell/tinkerbell/pkg/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Our file of the protocol says what Tinkerbell's own files say: the same names,
// numbers, types and methods.
func TestProto(t *testing.T) {
	const file = "tink.proto"
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{filepath.Join("..", "..", "images", "tink")}})}
	if _, err := os.Stat(filepath.Join("..", "..", "images", "tink", file)); err != nil {
		t.Fatal(err)
	}
	files, err := compiler.Compile(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	ours := files[0]
	compared := 0
	for _, theirs := range []protoreflect.FileDescriptor{proto.File_get_action_request_proto, proto.File_get_action_response_proto,
		proto.File_report_action_status_request_proto, proto.File_report_action_status_response_proto} {
		for i := range theirs.Messages().Len() {
			message := theirs.Messages().Get(i)
			compared++
			sameFields(t, ours.Messages().ByName(message.Name()), message)
		}
	}
	if compared != ours.Messages().Len() {
		t.Errorf("ours has %d messages, and theirs %d", ours.Messages().Len(), compared)
	}
	theirs := proto.File_workflow_service_proto.Services().Get(0)
	service := ours.Services().ByName(theirs.Name())
	if service == nil || service.FullName() != theirs.FullName() || service.Methods().Len() != theirs.Methods().Len() {
		t.Fatalf("the service is %v", service)
	}
	for i := range theirs.Methods().Len() {
		want, got := theirs.Methods().Get(i), service.Methods().Get(i)
		if got.FullName() != want.FullName() || got.Input().FullName() != want.Input().FullName() || got.Output().FullName() != want.Output().FullName() {
			t.Errorf("method %v, want %v", got, want)
		}
	}
}

func sameFields(t *testing.T, got, want protoreflect.MessageDescriptor) {
	t.Helper()
	if got == nil || got.FullName() != want.FullName() || got.Fields().Len() != want.Fields().Len() {
		t.Errorf("message %s: got %v", want.FullName(), got)
		return
	}
	for i := range want.Fields().Len() {
		w := want.Fields().Get(i)
		g := got.Fields().ByName(w.Name())
		if g == nil || g.Number() != w.Number() || g.Kind() != w.Kind() || g.Cardinality() != w.Cardinality() || g.HasPresence() != w.HasPresence() {
			t.Errorf("%s: got %v", w.FullName(), g)
			continue
		}
		if w.Message() != nil && g.Message().FullName() != w.Message().FullName() {
			t.Errorf("%s is a %s, want %s", w.FullName(), g.Message().FullName(), w.Message().FullName())
		}
		if w.Enum() != nil {
			sameValues(t, g.Enum(), w.Enum())
		}
	}
}

func sameValues(t *testing.T, got, want protoreflect.EnumDescriptor) {
	t.Helper()
	for i := range want.Values().Len() {
		w := want.Values().Get(i)
		if g := got.Values().ByName(w.Name()); g == nil || g.Number() != w.Number() {
			t.Errorf("%s: got %v", w.FullName(), g)
		}
	}
}
