package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/manifest"
)

func list(t *testing.T, text string, format manifest.Format) []registry.Listed {
	t.Helper()
	docs, err := manifest.ParseList([]byte(text), format, math.MaxInt)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	var machines []registry.Listed
	for _, doc := range docs {
		again, err := manifest.Parse(doc.Text)
		if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0].Machine, doc.Machine) {
			t.Errorf("as a document it is %+v, %v; want %+v\n%s", again, err, doc.Machine, doc.Text)
		}
		machines = append(machines, doc.Machine)
	}
	return machines
}

// One list in all ways in which people keep it is the same machines.
func TestParseList(t *testing.T) {
	ana, note, none, rack, os := "ana", "second PSU;\nask ben", "", "a 1", "debian-12"
	want := []registry.Listed{
		{Name: "rack1-7", MACs: []registry.MAC{{0x52, 0x54, 0, 0x12, 0x34, 0x56}, {0x52, 0x54, 0, 0x12, 0x34, 0x57}}, Serial: "0071", Vendor: "Dell Inc.", Model: "R740",
			Owner: &ana, Note: &note, Tags: []string{"gpu", "no"}, Labels: map[string]string{"row": "7", "empty": ""}, SetLabels: map[string]*string{"rack": &rack}, OS: &os},
		{UUID: "4C4C4544-0042-3510-8052-B4C04F4A3232"},
	}
	sheet := "name,mac,serial,uuid,vendor,model,owner,note,tags,labels,label.rack,os\n" +
		"rack1-7,52:54:00:12:34:56 52-54-00-12-34-57,0071,,Dell Inc.,R740,ana,\"second PSU;\nask ben\",\"gpu, no\",row=7 empty=,a 1,debian-12\n" +
		",,,4C4C4544-0042-3510-8052-B4C04F4A3232,,,,,,,,\n"
	const fields = `name: rack1-7, serial: "0071", vendor: Dell Inc., model: R740, owner: ana, note: "second PSU;\nask ben", `
	for name, c := range map[string]struct {
		format manifest.Format
		text   string
	}{
		"commas":     {manifest.CSV, sheet},
		"a mark":     {manifest.CSV, "\ufeff" + sheet},
		"semicolons": {manifest.CSV, strings.NewReplacer("PSU;", "PSU;", ";", ",", ",", ";").Replace(sheet)},
		"said before": {manifest.CSV, "sep=;\r\nMAC_1;Host Name;Serial number;UUID;Manufacturer;Product;Owner;Comment;Tag;Label;Label.rack;Operating System;MAC 2\r\n" +
			"525400123456;rack1-7;0071;;Dell Inc.;R740;ana;\"second PSU;\nask ben\";gpu no;row=7,empty=;a 1;debian-12;525400123457\r\n;;;;;;;;\r\n" +
			";;;4C4C4544-0042-3510-8052-B4C04F4A3232\r\n\r\n"},
		"tabs, and old ends of lines": {manifest.CSV, strings.ReplaceAll("uuid\tname\tmac\tserial\tvendor\tmodel\towner\tnote\ttags\tlabels\tlabel.rack\tos\n"+
			"\track1-7\t525400123456;525400123457\t 0071\tDell Inc.\tR740\tana\t\"second PSU;\r\nask ben\"\tgpu no\trow=7;empty=\ta 1\tdebian-12\n4C4C4544-0042-3510-8052-B4C04F4A3232", "\n", "\n")},
		"YAML": {manifest.YAML, "- {" + fields + "macs: [52:54:00:12:34:56, 52:54:00:12:34:57], tags: [gpu, \"no\"], labels: {row: \"7\", empty: \"\"}, set_labels: {rack: a 1}, assigned_os: debian-12}\n" +
			"- uuid: 4C4C4544-0042-3510-8052-B4C04F4A3232\n"},
		"flat YAML": {manifest.YAML, "- {" + fields + "mac: 52:54:00:12:34:56 52:54:00:12:34:57, tags: gpu no, labels: row=7 empty=, label.rack: a 1, os: debian-12}\n---\n" +
			"- uuid: 4C4C4544-0042-3510-8052-B4C04F4A3232\n"},
		"documents": {manifest.YAML, "{apiVersion: dragonfly/v1, kind: Machine, " + fields + "macs: [52:54:00:12:34:56, 52:54:00:12:34:57], tags: [gpu, \"no\"], labels: {row: \"7\", empty: \"\"}, set_labels: {rack: a 1}, assigned_os: debian-12}\n" +
			"---\n" + machine + "uuid: 4C4C4544-0042-3510-8052-B4C04F4A3232\n"},
		"JSON": {manifest.JSON, "[\n{\"name\":\"rack1-7\",\"macs\":[\"52:54:00:12:34:56\",\"52:54:00:12:34:57\"],\"serial\":\"0071\",\"vendor\":\"Dell Inc.\",\n\t\"model\":\"R740\",\"owner\":\"ana\"," +
			"\"note\":\"second PSU;\\nask ben\",\"tags\":[\"gpu\",\"no\"],\"labels\":{\"row\":\"7\",\"empty\":\"\"},\"set_labels\":{\"rack\":\"a 1\"},\"assigned_os\":\"debian-12\"},\n" +
			"{\"uuid\":\"4C4C4544-0042-3510-8052-B4C04F4A3232\"}]\n"},
		"flat JSON, in lines": {manifest.JSON, `{"name":"rack1-7","mac":"52:54:00:12:34:56,52:54:00:12:34:57","serial":"0071","vendor":"Dell Inc.","model":"R740","owner":"ana",` +
			`"note":"second PSU;\nask ben","tags":"gpu no","labels":"row=7 empty=","label.rack":"a 1","os":"debian-12"}` + "\n" +
			`{"uuid":"4C4C4544-0042-3510-8052-B4C04F4A3232"}` + "\n"},
	} {
		got := list(t, c.text, c.format)
		if len(got) == 2 && got[0].Note != nil {
			*got[0].Note = strings.ReplaceAll(*got[0].Note, "\r", "")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
	if got := list(t, "mac\r02:00:00:00:00:01\r02:00:00:00:00:02", manifest.CSV); len(got) != 2 {
		t.Errorf("lines that end in CR: %+v", got)
	}
	if got := list(t, `[{"name":"x","owner":"","note":"caf\u00e9 \ud83d\ude00 \\ud83d"}]`, manifest.JSON); *got[0].Owner != none || *got[0].Note != `café 😀 \ud83d` {
		t.Errorf("%q", *got[0].Note)
	}
	if docs, err := manifest.ParseList([]byte("name,serial\nx,1\n\n\"y\n\",2\nz,3\n"), manifest.CSV, 3); err != nil || docs[1].Line != 4 || docs[2].Line != 6 {
		t.Errorf("%+v, %v", docs, err)
	}
}

func TestListProblems(t *testing.T) {
	const csv, json, yaml = manifest.CSV, manifest.JSON, manifest.YAML
	for _, c := range []struct {
		name   string
		format manifest.Format
		text   string
		want   string // all problems, a line each
	}{
		{"nothing", csv, "", "line 1: there is no machine in it"},
		{"only names", csv, "name,mac\n", "line 1: there is no machine in it"},
		{"no names", csv, "rack1-7,52:54:00:12:34:56\n", "line 1: want a line of column names first: name, mac, serial, uuid, vendor, model, owner, note, tags, labels, label.KEY, os"},
		{"nothing to recognise by", csv, "owner,note\nana,x\n", "line 1: no column says which machine it is: want name, mac, serial or uuid"},
		{"a wrong column", csv, "name,serail\nx,1\n", "line 1: serail: there is no such column; did you mean serial?"},
		{"a further column", csv, "name,Price in EUR\nx,1\n", "line 1: Price in EUR: there is no such column; there are name, mac, serial, uuid, vendor, model, owner, note, tags, labels, label.KEY, os: call it label.Price-in-EUR to keep it as a label, or leave it out"},
		{"a column twice", csv, "name,Host\nx,y\n", "line 1: Host: another column says that too; leave one\nline 2: Host: it is there already; leave one (the first is on line 2)"},
		{"a label twice", csv, "name,label.a,label.b,label.a\nx,1,2,3\n", "line 1: label.a: another column says that too; leave one\nline 2: label.a: it is there already; leave one (the first is on line 2)"},
		{"a column without a name", csv, "name,\nx,y\n", `line 2: "y" is in column 2, which has no name: name it, or put quotes round a cell that has a separator in it`},
		{"too many cells", csv, "name,note\nx,a,b\n", `line 2: "b" is in column 3, which has no name: name it, or put quotes round a cell that has a separator in it`},
		{"about no machine", csv, "name,owner\n,ana\n", "line 2: nothing says which machine it is: want a name, macs, a serial or a uuid"},
		{"an open quote", csv, "name,note\nx,\"a\nb\n", "line 3: this is no CSV: extraneous or missing \" in quoted-field"},
		{"all at once", csv, "Host Name;MAC Address;tags;label.rack;labels\nRack 1;52:54:00:12:34:56 zz;a b;<;x\nok;02:00:00:00:00:01;a;b;\nok2;02:00:00:00:00:02;<;;\n",
			"line 2: MAC Address: hardware address \"zz\": want six hexadecimal bytes such as 52:54:00:12:34:56\n" +
				"line 2: labels: \"x\" is no label: want KEY=VALUE; a value with blanks goes into a field label.KEY\n" +
				"line 4: tags: "},
		{"a wrong value beside a right one", csv, "Host Name;Owner;label.rack\nRack 1;<;<\n",
			"line 2: Host Name: want lower-case letters, digits and dashes, at most 63, as in a host name, and not \"m-\" at the start\nline 2: Owner: text has < or >; markup is not accepted\nline 2: label.rack: "},
		{"a machine twice", csv, "name,serial\na,SN1\nb,SN1\n", "line 3: the serial number SN1 is that of another machine too (the first is on line 2)"},
		{"too many", csv, "name\na\nb\nc\nd\ne\n", "line 5: more than 3 machines, of which this is the next: bring them in several lists\nline 6: more"},
		{"UTF-16", csv, "\xff\xfen\x00", "line 1: byte 0 of the text is not UTF-8: save the list as UTF-8, which spreadsheets call CSV UTF-8"},
		{"Latin-1", csv, "name,note\nx,caf\xe9\n", "line 2: byte 15 of the text is not UTF-8: save the list as UTF-8, which spreadsheets call CSV UTF-8"},
		{"no JSON", json, "[\n{\"name\":\"x\"},\n{\"name\":x}]", "line 3: this is no JSON: invalid character 'x' looking for beginning of value"},
		{"no comma", json, "[\n{\"name\":\"x\"}\n{\"name\":\"y\"}]", "line 3: this is no JSON: "},
		{"no end", json, "[\n{\"name\":\"x\"}", "line 2: this is no JSON: it ends too early"},
		{"no end of an object", json, "{\"name\":\"x\"", "line 1: this is no JSON: it ends too early"},
		{"more than a list", json, "[{\"name\":\"x\"}]\n[]", "line 2: something is behind the end of the list"},
		{"a further bracket", json, "{\"name\":\"x\"}\n]", "line 2: something is behind the end of the list"},
		{"no object", json, "[\"x\", 7, null]", "line 1: want the fields of a machine and not text\nline 1: want the fields of a machine and not a number\nline 1: want the fields of a machine and not nothing"},
		{"an empty list", json, "[]", "line 1: there is no machine in it"},
		{"a number", json, "[{\"name\":\"x\",\n\"serial\":7},\n{\"nam\":\"y\"}]", "line 2: serial: want text and not a number: put it in quotes, \"7\"\nline 3: nam: there is no such field; did you mean name?"},
		{"an address", json, "{\"mac\":\"zz\"}\n{\"macs\":[\"zz\"]}", "line 1: mac: hardware address \"zz\": want six hexadecimal bytes such as 52:54:00:12:34:56\nline 2: macs[0]: hardware address \"zz\""},
		{"a field twice", json, "{\"name\":\"x\",\"mac\":\"02:00:00:00:00:01\",\n\"mac\":\"02:00:00:00:00:02\",\"host\":\"y\"}", "line 2: mac: it is there already; leave one (the first is on line 1)\nline 2: host: it is there already"},
		{"no YAML", yaml, "- name: x\n- name: [\n", "line 2: this is no YAML: "},
		{"YAML that is text", yaml, "x\n", "line 1: want the fields of a machine and not text"},
		{"rules", yaml, "apiVersion: dragonfly/v1\nkind: Rules\nrules: []\n", "line 1: this is about rules, and not a machine: leave it out here, and apply it"},
		{"another kind", yaml, "apiVersion: dragonfly/v1\nkind: Pod\n", "line 2: kind: \"Pod\" is not known here; want Defaults, Rules, OperatingSystem or Machine"},
		{"an alias", yaml, "- &a {name: x}\n- *a\n", "line 1: anchors (&) and aliases (*) are not read here: write it out\nline 2: want the fields of a machine and not an alias"},
		{"a tag", yaml, "- {name: x, mac: !!binary eA==}\n", "line 1: mac: tags such as \"!!binary\" are not read here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs, err := manifest.ParseList([]byte(c.text), c.format, 3)
			if _, ok := errors.AsType[*manifest.InvalidError](err); !ok || !begins(err.Error(), c.want) {
				t.Errorf("%d machines, %v\nwant %s", len(docs), err, c.want)
			}
		})
	}
	_, err := manifest.ParseList([]byte("mac\n"+strings.Repeat("x\n", 1000)), csv, math.MaxInt)
	if err == nil || strings.Count(err.Error(), "\n") != 99 {
		t.Errorf("%v", err)
	}
}

// begins reports whether each line of text begins as that of want does.
func begins(text, want string) bool {
	is, lines := strings.Split(text, "\n"), strings.Split(want, "\n")
	for i := range is {
		if len(is) != len(lines) || !strings.HasPrefix(is[i], lines[i]) {
			return false
		}
	}
	return true
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]manifest.Format{"a.csv": manifest.CSV, "a.b/C.TSV": manifest.CSV, "x.jsonl": manifest.JSON, "x.yml": manifest.YAML, "x.xlsx": "", "csv": "", "-": ""} {
		if got := manifest.FormatOf(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A long list of one's own is read in any format.
func TestLongList(t *testing.T) {
	const n = 12_000
	var sheet, objects, blocks bytes.Buffer
	sheet.WriteString("name,serial,tags\n")
	for i := range n {
		fmt.Fprintf(&sheet, "n-%d,S-%d,a b\n", i, i)
		fmt.Fprintf(&objects, "{\"name\":\"n-%d\",\"serial\":\"S-%d\",\"tags\":\"a b\"}\n", i, i)
		fmt.Fprintf(&blocks, "- name: n-%d\n  serial: S-%d\n  tags: [a, b]\n  note: \"something that makes it a good deal longer\"\n", i, i)
	}
	for format, text := range map[manifest.Format][]byte{manifest.CSV: sheet.Bytes(), manifest.JSON: objects.Bytes(), manifest.YAML: blocks.Bytes()} {
		docs, err := manifest.ParseList(text, format, math.MaxInt)
		if err != nil || len(docs) != n || docs[n-1].Machine.Serial != "S-11999" {
			t.Errorf("%s: %d machines, %v", format, len(docs), err)
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte("name;MAC 1;MAC 2;labels;label.x\r\na;02:00:00:00:00:01;;k=v w=\"\"\"\";\"y\nz\"\r\n"), byte(0))
	f.Add([]byte("sep=\t\nname\tserial\nx\t7\n"), byte(0))
	f.Add([]byte(`[{"name":"x","mac":"02:00:00:00:00:01","label.a":null},{"tags":["a"]}]`), byte(1))
	f.Add([]byte("- name: x\n  label.a: b\n---\n"+machine+"name: y\n"), byte(2))
	f.Fuzz(func(t *testing.T, text []byte, format byte) {
		formats := manifest.Formats()
		docs, err := manifest.ParseList(text, manifest.Format(formats[int(format)%len(formats)]), 100)
		wrong, ok := errors.AsType[*manifest.InvalidError](err)
		if err != nil && (!ok || len(wrong.Problems) == 0) || err == nil && len(docs) == 0 {
			t.Fatalf("%d machines, %v", len(docs), err)
		}
		for _, doc := range docs {
			if err != nil {
				return
			}
			if err := doc.Machine.Validate(); err != nil {
				t.Errorf("%+v: %v", doc.Machine, err)
			}
			if again, err := manifest.Parse(doc.Text); err != nil || !reflect.DeepEqual(again[0].Machine, doc.Machine) {
				t.Errorf("%+v, %v; want %+v\n%s", again, err, doc.Machine, doc.Text)
			}
		}
	})
}
