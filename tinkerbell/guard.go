package tinkerbell

import (
	"fmt"
	"reflect"
	"text/template"
	"text/template/parse"
	"time"
)

// The names of what [guard.instrument] puts into a template. They are defined only
// after an author's text was parsed, which therefore cannot call them.
const (
	stepName = "guardStep"
	showName = "guardShow"
)

// guard bounds what a template may use: every call of a function, every round of
// a range and every template within a template goes by it. Nothing else can go on
// for long: text/template has no other loops.
type guard struct {
	ends  time.Time
	steps int
	cost  int // of what takes longer than its size, over the whole rendering
}

func newGuard() *guard { return &guard{ends: time.Now().Add(maxTime)} }

// instrument has each range body and each template begin with [guard.step], and
// each value that is shown pass [guard.show], in the way in which html/template
// adds its escapers.
func (g *guard) instrument(t *template.Template) {
	t.Funcs(template.FuncMap{stepName: g.step, showName: g.show})
	for _, each := range t.Templates() {
		if each.Tree == nil || each.Root == nil {
			continue
		}
		walkLists(each.Root, func(list *parse.ListNode) {
			for _, n := range list.Nodes {
				switch n := n.(type) {
				case *parse.RangeNode:
					begin(n.List)
				case *parse.ActionNode:
					if len(n.Pipe.Decl) == 0 {
						n.Pipe.Cmds = append(n.Pipe.Cmds, call(showName, n.Pos))
					}
				}
			}
		})
		begin(each.Root)
	}
}

// begin puts a step before what is in a list.
func begin(list *parse.ListNode) {
	if list == nil {
		return
	}
	step := &parse.PipeNode{NodeType: parse.NodePipe, Pos: list.Pos, Cmds: []*parse.CommandNode{call(stepName, list.Pos)}}
	first := &parse.ActionNode{NodeType: parse.NodeAction, Pos: list.Pos, Pipe: step}
	list.Nodes = append([]parse.Node{first}, list.Nodes...)
}

func call(name string, pos parse.Pos) *parse.CommandNode {
	function := parse.NewIdentifier(name).SetTree(nil).SetPos(pos)
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{function}}
}

// step is one round of a loop. It shows nothing.
func (g *guard) step() (string, error) {
	if g.steps++; g.steps > maxSteps {
		return "", fmt.Errorf("the template takes more than %d steps", maxSteps)
	}
	return "", g.late()
}

// late is an error once the time is over.
func (g *guard) late() error {
	if time.Now().After(g.ends) {
		return fmt.Errorf("the template is not rendered after %s", maxTime)
	}
	return nil
}

// show lets a value pass that is small enough to be written out.
func (g *guard) show(value any) (any, error) {
	return value, weigh(reflect.ValueOf(value))
}

// wrap is a function that takes and gives only what is within the limits.
func (g *guard) wrap(name string, function any) any {
	f := reflect.ValueOf(function)
	invoke := f.Call
	if f.Type().IsVariadic() {
		invoke = f.CallSlice
	}
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		if err := g.before(name, args); err != nil {
			panic(err) // text/template makes it the error of the call
		}
		results := invoke(args)
		if err := weigh(results[0]); err != nil {
			panic(err)
		}
		return results
	}).Interface()
}

// before checks what a function is called with.
func (g *guard) before(name string, args []reflect.Value) error {
	if err := g.late(); err != nil {
		return err
	}
	for _, arg := range args {
		if err := weigh(arg); err != nil {
			return err
		}
	}
	grows, known := growth[name]
	if !known {
		return nil
	}
	gives, work := grows(args)
	if gives > maxValue {
		return fmt.Errorf("it would give more than %d bytes", maxValue)
	}
	if g.cost += min(work, maxCost+1); g.cost > maxCost {
		return fmt.Errorf("it would take too long")
	}
	return nil
}

// weigh is an error for a value that has more than maxValue bytes or is nested
// deeper than maxDepth, each part counted as often as it would be written. That
// finds a dictionary within itself too, which would end the process when it is
// written: fmt's stack overflows, and that cannot be recovered from.
func weigh(value reflect.Value) error {
	left := maxValue
	if !fits(value, &left, maxDepth) {
		return fmt.Errorf("a value has more than %d bytes, or is nested deeper than %d", maxValue, maxDepth)
	}
	return nil
}

// fits takes the weight of a value from what is left: 16 bytes, as of an
// interface, and its text.
func fits(v reflect.Value, left *int, depth int) bool {
	if *left -= 16; *left < 0 || depth < 0 {
		return false
	}
	switch v.Kind() {
	case reflect.String:
		*left -= v.Len()
	case reflect.Interface, reflect.Pointer:
		return v.IsNil() || fits(v.Elem(), left, depth-1)
	case reflect.Struct:
		for i := range v.NumField() {
			if !fits(v.Field(i), left, depth-1) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			*left -= v.Len()
			break
		}
		for i := range v.Len() {
			if !fits(v.Index(i), left, depth-1) {
				return false
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if !fits(entries.Key(), left, depth-1) || !fits(entries.Value(), left, depth-1) {
				return false
			}
		}
	}
	return *left >= 0
}
