package manifest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"dragonfly/registry"
)

// sheet reads CSV (RFC 4180), as spreadsheets write it: with a comma, a semicolon or
// a tab between the cells, which the first line tells, and lines that end in any way.
func (l *list) sheet(text []byte) {
	if !bytes.Contains(text, []byte("\n")) {
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	comma, text := l.separator(text)
	in := csv.NewReader(bytes.NewReader(text))
	in.Comma, in.FieldsPerRecord, in.TrimLeadingSpace = comma, -1, comma != '\t'
	var names []string
	for !l.full() {
		cells, err := in.Read()
		switch wrong, ok := errors.AsType[*csv.ParseError](err); {
		case err == io.EOF:
			return
		case ok: // where the next cell begins is not known from here on
			l.add(Problem{Line: l.lines + wrong.Line, Syntax: true, Message: "this is no CSV: " + wrong.Err.Error()})
			return
		case names == nil:
			names = cells
			if line, _ := in.FieldPos(0); !l.header(names, line) {
				return
			}
		default:
			l.cells(in, names, cells)
		}
	}
}

// separator is what is between the cells of a text, and its cells: a line "sep=;"
// before them, as spreadsheets write and read it, says it, and else the line of
// column names does.
func (l *list) separator(text []byte) (rune, []byte) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if first = bytes.TrimRight(first, "\r"); len(first) == 5 && bytes.EqualFold(first[:4], []byte("sep=")) && strings.IndexByte(",;\t", first[4]) >= 0 {
		l.lines = 1
		return rune(first[4]), rest
	}
	best := ','
	for _, comma := range ";\t" {
		if bytes.Count(first, []byte(string(comma))) > bytes.Count(first, []byte(string(best))) {
			best = comma
		}
	}
	return best, text
}

// header reports whether the names of columns are any, or says what is wrong.
func (l *list) header(names []string, line int) bool {
	known, first, before := false, map[string]bool{}, map[string]bool{}
	var wrong []Problem
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if names[i] == "" {
			continue
		}
		field, label := columnOf(name)
		switch {
		case field == "":
			wrong = append(wrong, Problem{Line: l.lines + line, Pointer: (*place)(nil).to(names[i]).String(), Message: noColumn(names[i])})
			continue
		case first[field+" "+label] && field != "macs", before[names[i]]:
			wrong = append(wrong, Problem{Line: l.lines + line, Pointer: (*place)(nil).to(names[i]).String(), Message: "another column says that too; leave one"})
		}
		known, first[field+" "+label], before[names[i]] = true, true, true
	}
	want := "want a line of column names first: " + strings.Join(columns, ", ")
	switch {
	case !known:
		wrong = []Problem{{Line: l.lines + line, Message: want}}
	case !first["name "] && !first["macs "] && !first["serial "] && !first["uuid "]:
		wrong, known = append(wrong, Problem{Line: l.lines + line, Message: "no column says which machine it is: want name, mac, serial or uuid"}), false
	}
	for _, p := range wrong {
		l.add(p)
	}
	return known
}

// noColumn is what is said of a column that there is not.
func noColumn(name string) string {
	if near := registry.Nearest(name, columns); near != "" {
		return "there is no such column; did you mean " + near + "?"
	}
	return fmt.Sprintf("there is no such column; there are %s: call it label.%s to keep it as a label, or leave it out", strings.Join(columns, ", "), strings.Join(strings.Fields(name), "-"))
}

// cells reads a line of a sheet; one without anything in it is none.
func (l *list) cells(in *csv.Reader, names, cells []string) {
	line, _ := in.FieldPos(0)
	fields := &yaml.Node{Kind: yaml.MappingNode, Line: line}
	for i, cell := range cells {
		if cell = strings.TrimSpace(cell); cell == "" {
			continue
		}
		line, _ := in.FieldPos(i)
		if i >= len(names) || names[i] == "" {
			l.problem(text("", line), nil, "%.40q is in column %d, which has no name: name it, or put quotes round a cell that has a separator in it", cell, i+1)
			l.number++
			return
		}
		if field, _ := columnOf(names[i]); field != "" { // that there is no such column was told
			fields.Content = append(fields.Content, text(names[i], line), text(cell, line))
		}
	}
	if len(fields.Content) > 0 {
		l.machine(fields)
	}
}
