package manifest_test

import (
	"errors"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/manifest"
)

const (
	machine = "apiVersion: dragonfly/v1\nkind: Machine\n"
	system  = "apiVersion: dragonfly/v1\nkind: OperatingSystem\n"
	linux   = system + "id: mine\nname: Mine\nimages:\n  amd64:\n    url: http://x/y\n    format: raw\ntemplate: image\nfirst_boot: none\n"
)

// What is written is read as it was, and written alike again.
func TestRoundTrip(t *testing.T) {
	text := written(t, someRules(), everything(), registry.Machine{Name: "elk", State: registry.Ready, MACs: []registry.MAC{{2, 0, 0, 0, 0, 1}}})
	docs, err := manifest.Parse([]byte(text))
	if err != nil || len(docs) != 3 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	if docs[0].Kind != manifest.Rules || !reflect.DeepEqual(docs[0].Rules, someRules()) {
		t.Errorf("rules: %+v", docs[0])
	}
	if m := everything().Listed(); docs[1].Kind != manifest.Machine || !reflect.DeepEqual(docs[1].Machine, m) {
		t.Errorf("machine: %+v\nwant %+v", docs[1].Machine, m)
	}
	for i, line := range []int{1, 21, 51} {
		if docs[i].Line != line {
			t.Errorf("document %d is on line %d, want %d", i, docs[i].Line, line)
		}
	}
	if joined := string(docs[0].Text) + string(docs[1].Text) + string(docs[2].Text); joined != text {
		t.Errorf("the documents are not the text:\n%s", joined)
	}
}

// Every field that there is can be written and read: one of a type that cannot would
// be noticed here.
func TestEveryField(t *testing.T) {
	listed, rule, seed, system := registry.Listed{}, registry.Rule{}, registry.Seed{}, registry.OS{}
	fill(reflect.ValueOf(&listed).Elem())
	fill(reflect.ValueOf(&rule).Elem())
	fill(reflect.ValueOf(&seed).Elem())
	fill(reflect.ValueOf(&system).Elem())
	for _, value := range []any{&listed, &rule, &seed, &system} {
		text, err := manifest.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		read := reflect.New(reflect.TypeOf(value).Elem())
		if err := manifest.Unmarshal(text, read.Interface()); err != nil || !reflect.DeepEqual(read.Interface(), value) {
			t.Errorf("%+v, %v; want %+v\n%s", read.Elem(), err, value, text)
		}
	}
}

// fill sets every field to something.
func fill(v reflect.Value) {
	switch to := v.Addr().Interface().(type) {
	case *netip.Addr:
		*to = netip.MustParseAddr("fd00::1")
		return
	case *netip.Prefix:
		*to = netip.MustParsePrefix("10.0.0.0/8")
		return
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.String:
		v.SetString("some text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(2)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		entry := reflect.New(v.Type().Elem()).Elem()
		fill(entry)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), entry)
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       string // the problems, a line each
	}{
		{"nothing", "", "line 1: there is no document; want apiVersion: dragonfly/v1 and a kind"},
		{"only comments", "# a\n---\n# b\n", "line 1: there is no document"},
		{"null", "null", "line 1: want fields, of which apiVersion: dragonfly/v1 and kind are two, and not nothing"},
		{"text", "hello", "and not text"},
		{"a list", "[]", "and not a list"},
		{"no version", "kind: Machine\nname: x\n", "line 1: apiVersion: it is missing; want dragonfly/v1"},
		{"another version", "apiVersion: v1\nkind: Machine\n", `line 1: apiVersion: "v1" is not known here; want dragonfly/v1`},
		{"version is a list", "apiVersion: [v1]\nkind: Machine\n", `line 1: apiVersion: want dragonfly/v1 and not a list`},
		{"no kind", "apiVersion: dragonfly/v1\nname: x\n", "line 1: kind: it is missing; want Defaults, Rules, OperatingSystem or Machine"},
		{"another kind", "---\napiVersion: dragonfly/v1\nkind: machine\nname: x\n", `line 3: kind: "machine" is not known here; did you mean Machine?`},
		{"unknown field", machine + "name: x\nserail: y\n", "line 4: serail: there is no such field; did you mean serial?"},
		{"unknown field below", machine + "serial: x\nlock:\n  noet: y\n", "line 5: lock.noet: there is no such field; did you mean note?"},
		{"not near anything", machine + "hardware: x\n", "there is no such field; there are apiVersion, assigned_os, kind, labels"},
		{"twice the same field", machine + "name: x\nname: y\n", "line 4: name: it is there already; leave one (the first is on line 3)"},
		{"twice the same key", machine + "name: x\nlabels:\n  a: x\n  b: x\n  a: y\n", "line 7: labels.a: it is there already; leave one (the first is on line 5)"},
		{"a bad address", machine + "macs: [\"52:54:00:12:34:56\",\n  \"52:54\"]\n", "line 4: macs[1]: hardware address \"52:54\": want six hexadecimal bytes"},
		{"a multicast address", machine + "macs: [01:00:5e:00:00:01]\n", "a machine's address is unicast"},
		{"no address", machine + "macs:\n-\n", "line 4: macs[0]: want text and not nothing"},
		{"an address that is a list", machine + "macs:\n- []\n", "line 4: macs[0]: want text and not a list"},
		{"addresses that are text", machine + "macs: 52:54:00:12:34:56\n", "line 3: macs: want a list and not text"},
		{"a bad name", machine + "serial: x\nname: Rack 1\n", "line 4: name: want lower-case letters"},
		{"a number", machine + "serial: 7\n", `line 3: serial: want text and not a number: put it in quotes, "7"`},
		{"a truth", machine + "name: x\nlabels: {a: true}\n", `line 4: labels.a: want text and not true or false: put it in quotes, "true"`},
		{"a date", machine + "name: x\nnote: 2026-11-23\n", `put it in quotes, "2026-11-23"`},
		{"a key that is a number", machine + "name: x\nlabels: {7: x}\n", `line 4: labels[7]: want text and not a number`},
		{"a key that is a list", machine + "name: x\n? [a]\n: b\n", "line 4: want text as a key and not a list"},
		{"nothing", machine + "name: x\nowner:\n", `line 4: owner: want text and not nothing; "" is no text`},
		{"no labels", machine + "name: x\nlabels:\n", "line 4: labels: want keys with values and not nothing"},
		{"text for fields", machine + "name: x\nlock: ana\n", "line 4: lock: want fields and not text"},
		{"text for truth", machine + "name: x\nretired: maybe\n", "line 4: retired: want true or false and not text"},
		{"number for truth", machine + "name: x\nretired: 1\n", "line 4: retired: want true or false and not a number"},
		{"no time", machine + "name: x\nlock: {at: yesterday}\n", "line 4: lock.at: want a time such as 2026-11-23T12:00:00Z"},
		{"markup", machine + "name: x\nowner: <b>\n", "line 4: owner: text has < or >"},
		{"a wrong label", machine + "name: x\nlabels:\n  a: x\n  \"<\": y\n", "line 6: labels.<: a key has letters"},
		{"about no machine", machine + "owner: ana\n", "line 1: nothing says which machine it is"},
		{"a machine twice", machine + "name: a\nserial: A1\n---\n" + machine + "name: b\n---\n" + machine + "name: c\nserial: A1\n",
			"line 10: the serial number A1 is that of another document too (the first is on line 1)"},
		{"a name twice", machine + "name: a\n---\n" + machine + "name: a\n", "line 5: the name a is that of another document too (the first is on line 1)"},
		{"rules twice", "apiVersion: dragonfly/v1\nkind: Rules\nrules: []\n---\napiVersion: dragonfly/v1\nkind: Rules\nrules: []\n", "line 5: another document has rules too: make one of them (the first is on line 1)"},
		{"no rules", "apiVersion: dragonfly/v1\nkind: Rules\n", "line 1: rules: it is missing; want a list, [] for no rules"},
		{"a wrong rule", "apiVersion: dragonfly/v1\nkind: Rules\nrules:\n- name: x\n  match:\n    subnet: 10.0.0.1/8\n  set: {owner: y}\n", "line 6: rules[0].match.subnet: the address has bits"},
		{"a rule's wrong field", "apiVersion: dragonfly/v1\nkind: Rules\nrules:\n- name: x\n  mach: {}\n", "line 5: rules[0].mach: there is no such field; did you mean match?"},
		{"a wrong operating system", system + "id: X\nmin_disk: much\n", "line 4: min_disk: want a whole number and not text"},
		{"half an operating system", system + "id: x\n", "line 1: name: it is missing"},
		{"an operating system twice", linux + "---\n" + linux, "line 12: another document has the operating system mine too: make one of them (the first is on line 1)"},
		{"all at once", machine + "name: A\nowner: 7\nserail: x\n", "line 4: owner: want text and not a number: put it in quotes, \"7\"\nline 5: serail: there is no such field; did you mean serial?"},
		{"several documents", machine + "nam: x\n---\n" + machine + "nam: x\n", "line 3: nam: there is no such field; did you mean name?\nline 7: nam:"},
		{"two without a mark", machine + "name: x\n...\n" + machine + "name: y\n", "line 4: this is no YAML: did not find expected <document start>"},
		{"no YAML", machine + "name: [x\n---\n", "this is no YAML: "},
		{"a tab", machine + "labels:\n\ta: b\n", "line 4: this is no YAML: "},
		{"an anchor", machine + "name: &a x\n", "line 3: name: anchors (&) and aliases (*) are not read here"},
		{"an alias", machine + "name: x\nowner: *a\n", "this is no YAML: unknown anchor"},
		{"a merge", machine + "name: x\n<<: {}\n", "line 4: <<: there is no such field"},
		{"a tag", machine + "name: !!binary eA==\n", "line 3: name: tags such as \"!!binary\" are not read here"},
		{"another tag", machine + "name: !ruby/object x\n", "line 3: name: tags such as"},
		{"NUL", machine + "name: x\nnote: \"a\x00b\"\n", "line 4: byte 55 of the text is the control character U+0000"},
		{"NUL, written out", machine + "name: x\nnote: \"a\\0b\"\n", "line 4: note: want plain text"},
		{"not UTF-8", machine + "name: \xff\n", "line 3: byte 45 of the text is not UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "line 1: byte 0 of the text is not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs, err := manifest.Parse([]byte(c.text))
			if _, ok := errors.AsType[*manifest.InvalidError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d documents, %v; want %s", len(docs), err, c.want)
			}
		})
	}
}

func TestRead(t *testing.T) {
	for _, text := range []string{
		machine + "name: x",
		"\ufeff" + machine + "name: x\n",
		"# a comment\n--- # another\n" + machine + "name: x\n...\n---\n---\n",
		strings.ReplaceAll(machine, "\n", "\r\n") + "name: x\r\n",
		`{"apiVersion":"dragonfly/v1","kind":"Machine","name":"x"}`,
		"  apiVersion: dragonfly/v1\n  kind: Machine\n  name: x\n",
	} {
		docs, err := manifest.Parse([]byte(text))
		if err != nil || len(docs) != 1 || docs[0].Machine.Name != "x" {
			t.Errorf("%q: %+v, %v", text, docs, err)
		}
	}
	docs, err := manifest.Parse([]byte(machine + "name: x\nowner: \"\"\ntags: []\nlabels: {}\nset_labels: {a: null, b: \"\"}\nretired: false\nlock: {at: 2026-11-23T12:00:00Z}\nmacs: [52-54-00-12-34-56]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m := docs[0].Machine; m.Owner == nil || *m.Owner != "" || m.Note != nil || m.Tags == nil || m.Labels == nil || len(m.SetLabels) != 2 || m.SetLabels["a"] != nil ||
		m.Retired == nil || *m.Retired || m.Lock.At.IsZero() || m.MACs[0].String() != "52:54:00:12:34:56" {
		t.Errorf("%+v", m)
	}
}

// bombs are texts that are made to cost much. None may.
var bombs = map[string]string{
	"anchors":         "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
	"deep lists":      strings.Repeat("[", 150_000),
	"deeper lists":    strings.Repeat("[", 1_000_000),
	"deep mappings":   strings.Repeat("{a: ", 40_000),
	"deep blocks":     deep(1200),
	"many entries":    machine + "macs:\n" + strings.Repeat("- a\n", 40_000),
	"more entries":    machine + "macs:\n" + strings.Repeat("- a\n", 250_000),
	"many in flow":    machine + "macs: [" + strings.Repeat("a,", 40_000) + "]",
	"many keys":       machine + strings.Repeat("a: b\n", 40_000),
	"many problems":   machine + "labels: {" + strings.Repeat("a: 1,", 20_000) + "}",
	"one long word":   machine + "name: " + strings.Repeat("a", 1_000_000),
	"one long text":   machine + "name: \"" + strings.Repeat("\\x41", 250_000) + "\"",
	"many blanks":     strings.Repeat(" ", 1_000_000),
	"many lines":      strings.Repeat("\n", 1_000_000),
	"many comments":   strings.Repeat("#\n", 500_000),
	"large":           machine + strings.Repeat("- a\n", 2_000_000),
	"long keys":       machine + strings.Repeat("a", 1_000_000) + ": x\n",
	"complex keys":    machine + strings.Repeat("? ", 5_000),
	"many documents":  strings.Repeat("---\n", 2_500_000),
	"many machines":   strings.Repeat(machine+"name: x\n---\n", 150_000),
	"too long":        strings.Repeat("#", manifest.MaxText+1),
	"NULs":            strings.Repeat("\x00", manifest.MaxText),
	"percent signs":   strings.Repeat("%TAG ! tag:x,2000:\n", 50_000),
	"more directives": "%YAML 1.2\n---\n",
}

// deep is blocks in each other.
func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestBombs(t *testing.T) {
	for name, text := range bombs {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			docs, err := manifest.Parse([]byte(text))
			runtime.ReadMemStats(&after)
			if _, ok := errors.AsType[*manifest.InvalidError](err); !ok {
				t.Fatalf("%d documents, %v", len(docs), err)
			}
			if len(err.Error()) > 4000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 512 { // the race detector doubles it
				t.Errorf("%d MB allocated", mb)
			}
		})
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("second PSU\n\tis out \n\n", "ana", "a: b", "7XK2Q54", true)
	f.Add("  indented\nnot", "- x", "#", "yes", false)
	f.Add("\n", "\u200d", "a\n\nb\n\n", "0x1f", false)
	f.Fuzz(func(t *testing.T, note, owner, label, serial string, retired bool) {
		m := registry.Machine{Name: "x", Note: note, Owner: owner, Labels: map[string]string{"a": label}, State: registry.Ready,
			Hardware: registry.Hardware{System: registry.System{Serial: strings.TrimSpace(serial)}}}
		if retired {
			m.State = registry.Retired
		}
		if m.Listed().Validate() != nil {
			return
		}
		text := written(t, nil, m)
		docs, err := manifest.Parse([]byte(text))
		if err != nil || len(docs) != 1 || !reflect.DeepEqual(docs[0].Machine, m.Listed()) {
			t.Errorf("%+v, %v; want %+v\n%s", docs, err, m.Listed(), text)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(written(f, someRules(), everything())))
	f.Add([]byte(bombs["anchors"]))
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, err := manifest.Parse(text)
		if wrong, ok := errors.AsType[*manifest.InvalidError](err); err != nil && (!ok || len(wrong.Problems) == 0) {
			t.Errorf("%v", err)
		}
		for _, doc := range docs {
			if err == nil && doc.Kind == manifest.Machine && doc.Machine.Validate() != nil {
				t.Errorf("%+v is not valid", doc.Machine)
			}
		}
	})
}
