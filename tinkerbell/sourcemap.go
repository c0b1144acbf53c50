package tinkerbell

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"
)

// sourceMap is the writer that a template is executed into. It knows which of its
// text is literally in the template, and where: text/template writes the text
// between actions from the very bytes of its syntax tree.
type sourceMap struct {
	template string
	text     []byte
	literals map[*byte]*parse.TextNode
	parts    []part // in the order of text
}

// part says that the text from offset on was written at a position of the template.
type part struct {
	offset, position int
	literal          bool // byte for byte; else it all came from an action there
}

func newSourceMap(text string, t *template.Template) *sourceMap {
	m := &sourceMap{template: text, literals: map[*byte]*parse.TextNode{}}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			m.gather(each.Root)
		}
	}
	return m
}

// gather notes the literal texts below a list.
func (m *sourceMap) gather(list *parse.ListNode) {
	walkLists(list, func(list *parse.ListNode) {
		for _, n := range list.Nodes {
			if text, ok := n.(*parse.TextNode); ok && len(text.Text) > 0 {
				m.literals[&text.Text[0]] = text
			}
		}
	})
}

func (m *sourceMap) Write(p []byte) (int, error) {
	if len(m.text)+len(p) > MaxRendered {
		return 0, fmt.Errorf("the rendered text exceeds %d bytes", MaxRendered)
	}
	if len(p) == 0 {
		return 0, nil
	}
	next := part{offset: len(m.text)}
	if text, ok := m.literals[&p[0]]; ok {
		next.position, next.literal = int(text.Pos), true
	} else if len(m.parts) > 0 {
		last := m.parts[len(m.parts)-1]
		if next.position = last.position; last.literal {
			next.position += len(m.text) - last.offset
		}
	}
	m.parts = append(m.parts, next)
	m.text = append(m.text, p...)
	return len(p), nil
}

// origin is where in the template a place of the rendered text was written; lines
// and columns count from 1, columns in characters. An unknown column stays 0.
func (m *sourceMap) origin(line, column int) (int, int) {
	if line < 1 {
		return 0, 0
	}
	at := m.position(offsetOf(m.text, line, max(column, 1)))
	before := m.template[:min(at, len(m.template))]
	line = 1 + strings.Count(before, "\n")
	if column > 0 {
		column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	}
	return line, column
}

// position is where in the template the byte at an offset was written.
func (m *sourceMap) position(offset int) int {
	i, exact := slices.BinarySearchFunc(m.parts, offset, func(p part, offset int) int { return p.offset - offset })
	if !exact {
		i--
	}
	if i < 0 {
		return 0
	}
	if p := m.parts[i]; p.literal {
		return p.position + offset - p.offset
	}
	return m.parts[i].position
}

// offsetOf is where a line and a column begin.
func offsetOf(text []byte, line, column int) (offset int) {
	for ; line > 1; line-- {
		end := bytes.IndexByte(text[offset:], '\n')
		if end < 0 {
			break
		}
		offset += end + 1
	}
	for ; column > 1 && offset < len(text) && text[offset] != '\n'; column-- {
		_, size := utf8.DecodeRune(text[offset:])
		offset += size
	}
	return offset
}

// walkLists visits a list and all lists below it.
func walkLists(list *parse.ListNode, visit func(*parse.ListNode)) {
	if list == nil {
		return
	}
	visit(list)
	for _, n := range list.Nodes {
		if branch := branchOf(n); branch != nil {
			walkLists(branch.List, visit)
			walkLists(branch.ElseList, visit)
		}
	}
}

// branchOf is what if, range and with have in common; nil for other nodes.
func branchOf(n parse.Node) *parse.BranchNode {
	switch n := n.(type) {
	case *parse.IfNode:
		return &n.BranchNode
	case *parse.RangeNode:
		return &n.BranchNode
	case *parse.WithNode:
		return &n.BranchNode
	}
	return nil
}
