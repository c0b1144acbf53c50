package images

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadModule(t *testing.T) {
	body := fakeModule("license=GPL", "alias=pci:v00008086d*", "alias=foo", "depends=dca,i2c-algo-bit",
		"softdep=pre: crypto-crc32c realtek post: late-one", "firmware=a/b.fw", "firmware=", "nonsense")
	got, err := readModule("kernel/drivers/net/my-nic.ko", body)
	if err != nil {
		t.Fatal(err)
	}
	want := module{
		Name: "my_nic", Path: "kernel/drivers/net/my-nic.ko", Body: body,
		Depends: []string{"dca", "i2c_algo_bit"}, Pre: []string{"crypto_crc32c", "realtek"}, Post: []string{"late_one"},
		Softdeps: []string{"pre: crypto-crc32c realtek post: late-one"},
		Aliases:  []string{"pci:v00008086d*", "foo"}, Firmware: []string{"a/b.fw"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadModuleRefuses(t *testing.T) {
	whole := fakeModule("license=GPL")
	noSection := []byte(strings.Replace(string(whole), ".modinfo", ".modlost", 1))
	for name, test := range map[string]struct {
		body []byte
		says string
	}{
		"nothing":    {nil, "read module m: "},
		"text":       {[]byte("#!/bin/sh\n"), "read module m: "},
		"truncated":  {whole[:100], "read module m: "},
		"no section": {noSection, "no .modinfo section"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readModule("kernel/m.ko", test.body); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an error with %q", err, test.says)
			}
		})
	}
}

func TestParseSoftdep(t *testing.T) {
	for text, want := range map[string][2][]string{
		"pre: a b-c":     {{"a", "b_c"}, nil},
		"post: a pre: b": {{"b"}, {"a"}},
		"stray pre: a":   {{"a"}, nil},
		"pre: post:":     {nil, nil},
		"":               {nil, nil},
	} {
		pre, post := parseSoftdep(text)
		if !reflect.DeepEqual([2][]string{pre, post}, want) {
			t.Errorf("%q: got %q and %q, want %q", text, pre, post, want)
		}
	}
}

func FuzzReadModule(f *testing.F) {
	f.Add(fakeModule("depends=a,b", "softdep=pre: c", "alias=x", "firmware=y"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readModule("kernel/m.ko", body)
		if err != nil {
			return
		}
		for _, name := range append(append(m.Depends, m.Pre...), m.Post...) {
			if name == "" || strings.ContainsAny(name, "-\x00") {
				t.Errorf("%q is no module's name", name)
			}
		}
	})
}
