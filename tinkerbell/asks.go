package tinkerbell

import (
	"errors"
	"maps"
	"slices"
	"text/template"
	"text/template/parse"
)

// Asks lists the names that a template reads at the top level of its data, such
// as device_1 or image_url, in alphabetical order. What it reads in a branch that
// is not taken is in it too. The error is that of [Render].
func Asks(text []byte) ([]string, error) {
	t, err := template.New(templateName).Funcs(newGuard().functions()).Parse(string(text))
	if err != nil {
		return nil, explain(err, nil)
	}
	a := asker{templates: t, names: map[string]bool{}, visited: map[string]bool{templateName: true}}
	if t.Tree != nil {
		a.list(t.Root, true)
	}
	return slices.Sorted(maps.Keys(a.names)), nil
}

// guesses are values that most of what a template makes of one accepts: a number,
// a mode and a boolean, and the path of a file and of a device.
var guesses = []string{"1", "/dev/disk/by-id/example"}

// Guess puts a value into data for each name that a template asks for and that is
// not there, so that it can be checked without, and says which names these are. Of
// the guesses, each name gets the one with which the fewest things are wrong.
func Guess(text []byte, data Data) (missing []string, err error) {
	asks, err := Asks(text)
	if err != nil {
		return nil, err
	}
	for _, name := range asks {
		if _, there := data[name]; !there {
			data[name] = guesses[0]
			missing = append(missing, name)
		}
	}
	least := wrongs(text, data)
	for _, name := range missing[:min(len(missing), maxGuesses)] {
		for _, guess := range guesses[1:] {
			before := data[name]
			data[name] = guess
			if n := wrongs(text, data); n < least {
				least = n
			} else {
				data[name] = before
			}
		}
	}
	return missing, nil
}

// wrongs counts what is wrong with a template.
func wrongs(text []byte, data Data) int {
	_, err := Check(text, data)
	if wrong, ok := errors.AsType[*InvalidError](err); ok {
		return len(wrong.Problems)
	}
	return 0
}

// asker walks a template. Where dot is the data, .name is one of its names; $.name
// always is, but within a template that was called with something else.
type asker struct {
	templates *template.Template
	names     map[string]bool
	visited   map[string]bool // templates called with the data
}

// list visits what is in a list where dot is the data, or is not.
func (a *asker) list(list *parse.ListNode, dot bool) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			a.node(n.Pipe, dot)
		case *parse.TemplateNode:
			a.node(n.Pipe, dot)
			a.called(n, dot)
		case *parse.IfNode:
			a.node(n.Pipe, dot)
			a.list(n.List, dot)
			a.list(n.ElseList, dot)
		case *parse.RangeNode, *parse.WithNode:
			branch := branchOf(n)
			a.node(branch.Pipe, dot)
			a.list(branch.List, false)
			a.list(branch.ElseList, dot)
		}
	}
}

// called visits a template that is called with the data.
func (a *asker) called(n *parse.TemplateNode, dot bool) {
	called := a.templates.Lookup(n.Name)
	if n.Pipe == nil || called == nil || called.Tree == nil || a.visited[n.Name] {
		return
	}
	if given := n.Pipe.String(); given == "$" || given == "." && dot {
		a.visited[n.Name] = true
		a.list(called.Root, true)
	}
}

// node visits an expression.
func (a *asker) node(n parse.Node, dot bool) {
	switch n := n.(type) {
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				a.node(command, dot)
			}
		}
	case *parse.CommandNode:
		for _, arg := range n.Args {
			a.node(arg, dot)
		}
	case *parse.ChainNode:
		a.node(n.Node, dot)
	case *parse.FieldNode:
		if dot {
			a.names[n.Ident[0]] = true
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			a.names[n.Ident[1]] = true
		}
	}
}
