package tinkerbell

import (
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strings"
)

// growth says of the functions that give more than they take, or take longer than
// their size, how many bytes one would give at most and how many units of work,
// of some nanoseconds, it would take. What is not here is bounded by the size of
// what it takes.
var growth = map[string]func(args []reflect.Value) (gives, work int){
	"repeat":    func(a []reflect.Value) (int, int) { return product(whole(a[0]), a[1].Len()), 0 },
	"indent":    indents,
	"nindent":   indents,
	"until":     func(a []reflect.Value) (int, int) { return product(magnitude(a[0]), 8), 0 },
	"untilStep": func(a []reflect.Value) (int, int) { return span(a[0].Int(), a[1].Int(), a[2].Int()), 0 },
	"seq":       sequence,
	"replace":   replaces,
	"join":      joins,
	"wrapWith":  func(a []reflect.Value) (int, int) { return product(a[2].Len()+1, a[1].Len()+1), quadratic(a[2].Len()) },
	"wrap":      func(a []reflect.Value) (int, int) { return 0, quadratic(a[1].Len()) },
	"printf":    formats,

	"regexMatch": matches, "mustRegexMatch": matches, "regexFind": matches, "mustRegexFind": matches,
	"regexFindAll": matches, "mustRegexFindAll": matches, "regexSplit": matches, "mustRegexSplit": matches,
	"regexReplaceAll": rewrites, "mustRegexReplaceAll": rewrites,
	"regexReplaceAllLiteral": rewrites, "mustRegexReplaceAllLiteral": rewrites,

	"uniq": compares, "mustUniq": compares, "without": compares, "mustWithout": compares,

	"genPrivateKey": slow, "genCA": slow, "genSelfSignedCert": slow, "genSignedCert": slow,
	"bcrypt": hashes, "htpasswd": hashes, "derivePassword": hashes,
}

// tooMuch is more than any limit, and can be added to without overflow.
const tooMuch = 1 << 40

// slow is a function that takes up to a second, and hashes one that takes up to a
// tenth: four of the former, or ten of the latter.
func slow([]reflect.Value) (int, int)   { return 0, maxCost / 4 }
func hashes([]reflect.Value) (int, int) { return 0, maxCost / 10 }

func product(a, b int) int {
	if a <= 0 || b <= 0 {
		return 0
	}
	if a > tooMuch/b {
		return tooMuch
	}
	return a * b
}

func quadratic(n int) int { return product(n, n) / 1000 }

func whole(v reflect.Value) int { return int(min(max(v.Int(), 0), tooMuch)) }

func magnitude(v reflect.Value) int {
	if n := v.Int(); n < 0 {
		return int(min(uint64(-n), tooMuch))
	}
	return whole(v)
}

// span is what a list of numbers from start to stop takes. One that goes the
// other way is empty.
func span(start, stop, step int64) int {
	if step == 0 {
		return 0
	}
	n := (float64(stop) - float64(start)) / float64(step)
	return product(int(min(max(n, 0), tooMuch))+1, 20)
}

func sequence(args []reflect.Value) (int, int) {
	n, _ := args[0].Interface().([]int)
	switch len(n) {
	case 1:
		return max(span(1, int64(n[0]), 1), span(1, int64(n[0]), -1)), 0
	case 2:
		return max(span(int64(n[0]), int64(n[1]), 1), span(int64(n[0]), int64(n[1]), -1)), 0
	case 3:
		return span(int64(n[0]), int64(n[2]), int64(n[1])), 0
	}
	return 0, 0
}

func indents(args []reflect.Value) (int, int) {
	return product(whole(args[0]), strings.Count(args[1].String(), "\n")+1), 0
}

func joins(args []reflect.Value) (int, int) {
	list := args[1]
	for list.Kind() == reflect.Interface {
		list = list.Elem()
	}
	if list.Kind() != reflect.Slice && list.Kind() != reflect.Array {
		return 0, 0
	}
	return product(args[0].Len(), list.Len()), 0
}

// formats counts the widths of a format: printf "%999999d" gives a megabyte.
func formats(args []reflect.Value) (gives, work int) {
	number := 0
	for _, c := range args[0].String() {
		switch {
		case c >= '0' && c <= '9':
			number = min(number*10+int(c-'0'), tooMuch)
			continue
		case c == '*':
			number = maxValue / 8 // as wide as a value says
		}
		gives, number = gives+number, 0
	}
	// A value may be shown more than once: %[1]v%[1]v.
	shown := maxValue
	fits(args[1], &shown, maxDepth)
	return gives + product(strings.Count(args[0].String(), "["), maxValue-shown), 0
}

// matches is the work of a regular expression: its size for each byte of the text
// (RE2 never takes longer).
func matches(args []reflect.Value) (int, int) {
	return 0, product(programSize(args[0].String()), args[1].Len()+1)
}

func replaces(args []reflect.Value) (int, int) {
	within := args[2].String()
	return len(within) + product(strings.Count(within, args[0].String()), args[1].Len()), 0
}

// rewrites counts the matches, each of which becomes the new text; a $ in that
// may stand for the whole match.
func rewrites(args []reflect.Value) (int, int) {
	_, work := matches(args)
	if work > maxCost {
		return 0, work
	}
	expression, err := regexp.Compile(args[0].String())
	if err != nil {
		return 0, 0 // the function says so
	}
	text, by := args[1].String(), args[2].String()
	found := len(expression.FindAllStringIndex(text, -1))
	return len(text) + product(found, len(by)) + product(strings.Count(by, "$"), len(text)), 2 * work
}

// programSize is how many instructions a regular expression has once it is compiled.
func programSize(expression string) int {
	if len(expression) > 10_000 {
		return tooMuch
	}
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return 0 // the function says so
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

// compares is the work of comparing each entry of a list with each.
func compares(args []reflect.Value) (int, int) {
	text := fmt.Sprint(args[0].Interface()) // it was weighed
	n := len(text)
	return 0, quadratic(n) * 10
}
