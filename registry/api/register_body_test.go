package api

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// slowly reads a registration as huma reads other bodies.
func slowly(text []byte) (RegisterRequest, []error) {
	b := registerBody{doubtful: text}
	errs := b.Resolve(nil, nil)
	return b.RegisterRequest, errs
}

// What the quick pass accepts is what huma accepts, and the same.
func FuzzRegisterBody(f *testing.F) {
	for _, seed := range []string{
		`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":"Acme","serial":"1"},"disks":[{"name":"sda","bytes":1}],"nics":[{"mac":"52:54:00:12:34:57","address":"192.0.2.1"}]}}`,
		`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":null}}}`,
		`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":"a"},"disks":[{"model":"x"}]}}`,
		`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":"a"},"os_found":[{"name":"x"}]}}`,
		`{"MAC":"52:54:00:12:34:56","hardware":{"system":{"vendor":"a"}}}`,
		`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":"a"},"cpu":{"cores":1.5}}}`,
		`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":"a"},"cpu":{"cores":1e1}}}`,
		`{"mac":"52:54:00:12:34:56","mac":"52:54:00:12:34:57","hardware":{"system":{"vendor":"a"}}}`,
		`{"mac":"525400123456","macs":["52-54-00-12-34-56",""],"hardware":{"system":{"vendor":"\u00e9"},"bmc":{}}}`,
		`{"mac":"52:54:00:12:34:56","hostname":"` + strings.Repeat("h", 254) + `","hardware":{"system":{"vendor":"a"}}}`,
		`{"mac":"52:54:00:12:34:56"}`, `{"hardware":{}}`, `[]`, `{`, "{\"mac\":\"\xff\"}", `{"mac":"52:54:00:12:34:56","x":1,"hardware":{"system":{"vendor":"a"}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var quick registerBody
		quick.read(text)
		if quick.doubtful != nil {
			return
		}
		slow, errs := slowly(text)
		if len(errs) > 0 {
			t.Fatalf("%q was accepted: %v", text, errs)
		}
		if normal(quick.RegisterRequest) != normal(slow) {
			t.Errorf("%q was read as\n%+v, want\n%+v", text, quick.RegisterRequest, slow)
		}
	})
}

// normal makes an empty list and none the same.
func normal(r RegisterRequest) string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestRegisterBodyIsReadQuickly(t *testing.T) {
	var b registerBody
	b.read([]byte(`{"mac":"52:54:00:12:34:56","hardware":{"system":{"vendor":"Acme"},"disks":[{"name":"sda"}]}}`))
	if b.doubtful != nil || b.Hardware.Disks[0].Name != "sda" {
		t.Errorf("a body that is right was in doubt: %+v", b.RegisterRequest)
	}
}

// What is kept of a long body keeps none of the rest in memory.
func TestRegisterBodyLetsALongTextGo(t *testing.T) {
	long := []byte(`{"mac":"52:54:00:12:34:56","hostname":"node1","hardware":{"system":{"vendor":"Acme"}}` + strings.Repeat(" ", 1<<20) + `}`)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	kept := make([]registerBody, 50)
	for i := range kept {
		kept[i].read(long)
		if kept[i].doubtful != nil {
			t.Fatal("the body was in doubt")
		}
	}
	if grown := int64(live() - before); grown > 5<<20 {
		t.Errorf("50 registrations in 1 MiB each keep %d bytes", grown)
	}
	runtime.KeepAlive(kept)
}

func TestRegisterBodyHasTheSchemaOfTheRequest(t *testing.T) {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	if got := (&registerBody{}).Schema(schemas).Ref; got != "#/components/schemas/RegisterRequest" {
		t.Errorf("schema is %q", got)
	}
}
