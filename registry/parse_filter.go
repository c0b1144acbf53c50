package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a filter's text.
const (
	maxFilter = 1000 // bytes
	maxTerms  = 20
	maxValues = 100
)

// FilterError says what is wrong with the text of a filter, and where.
type FilterError struct {
	Pos     int    // byte offset in the text
	Message string // what is wrong
	Hint    string // what was probably meant; may be empty
}

func (e *FilterError) Error() string {
	text := fmt.Sprintf("filter, at character %d: %s", e.Pos+1, e.Message)
	if e.Hint != "" {
		text += "; did you mean " + e.Hint + "?"
	}
	return text
}

// ParseFilter reads the language of search boxes and of the API:
//
//	state:ready              the field is the value
//	state:ready,failed       or one of several
//	model:~poweredge         the field has the value as a part
//	label.rack:a1            a label
//	-tag:old                 all but
//	"two words"  a1          a bare word is part of anything that identifies a machine
//
// Terms are separated by spaces and all have to match. A value with a space, a
// comma or a quotation mark stands in quotation marks, with \ before those within.
// The error is a [*FilterError].
func ParseFilter(text string) (Filter, error) {
	if len(text) > maxFilter {
		return nil, &FilterError{Pos: maxFilter, Message: fmt.Sprintf("it is longer than %d bytes", maxFilter)}
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) && r != '\t' && r != '\n' }); i >= 0 {
		return nil, &FilterError{Pos: i, Message: "a control character, or text that is not UTF-8"}
	}
	p := filterParser{text: text}
	var f Filter
	for p.skipSpace(); p.pos < len(text); p.skipSpace() {
		term, err := p.term()
		if err != nil {
			return nil, err
		}
		if f = append(f, term); len(f) > maxTerms {
			return nil, p.fail(p.pos, fmt.Sprintf("more than %d terms", maxTerms), "")
		}
	}
	return f, nil
}

// filterParser reads text from pos on.
type filterParser struct {
	text string
	pos  int
}

func (p *filterParser) fail(pos int, message, hint string) error {
	return &FilterError{Pos: pos, Message: message, Hint: hint}
}

func (p *filterParser) skipSpace() {
	for p.pos < len(p.text) && strings.ContainsRune(" \t\n", rune(p.text[p.pos])) {
		p.pos++
	}
}

// accept reads the byte c, if it is next.
func (p *filterParser) accept(c byte) bool {
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *filterParser) term() (t Term, err error) {
	t.Not = p.accept('-')
	if field, ok := p.field(); ok {
		if t.Field, t.Key, err = p.known(field); err != nil {
			return t, err
		}
		p.pos += len(field) + 1
		t.Part = p.accept('~')
	} else if err := p.equals(t.Not); err != nil {
		return t, err
	} else {
		t.Part = true
	}
	for {
		at := p.pos
		value, err := p.value(t.Field == FieldAny)
		if err != nil {
			return t, err
		}
		if mac, err := ParseMAC(value); err == nil && t.Field == FieldMAC && !t.Part {
			value = mac.String()
		}
		if err := checkValue(t, value); err != "" {
			return t, p.fail(at, err, Nearest(value, choices(t.Field)))
		}
		if t.Values = append(t.Values, value); len(t.Values) > maxValues {
			return t, p.fail(at, fmt.Sprintf("more than %d values", maxValues), "")
		}
		if t.Field == FieldAny || !p.accept(',') {
			return t, nil
		}
	}
}

// field is the name before a colon, where one is next. What looks like a hardware
// address or an IPv6 address is a bare word.
func (p *filterParser) field() (string, bool) {
	name, _, found := strings.Cut(p.text[p.pos:], ":")
	if !found || name == "" || strings.ContainsAny(name, " \t\n\"") || isHexByte(name) {
		return "", false
	}
	return name, true
}

// equals refuses a bare word such as tag=gpu: it would match nothing, and -tag=gpu
// everything.
func (p *filterParser) equals(not bool) error {
	word := p.text[p.pos:]
	if i := strings.IndexAny(word, " \t\n\""); i >= 0 {
		word = word[:i]
	}
	field, value, found := strings.Cut(word, "=")
	field, unlike := strings.CutSuffix(field, "!")
	if _, _, err := p.known(field); !found || err != nil {
		return nil
	}
	hint := field + ":" + strings.TrimPrefix(value, "=")
	if unlike != not {
		hint = "-" + hint
	}
	return p.fail(p.pos, fmt.Sprintf("a colon is between a field and its value, and %.60q stands in quotation marks where it is to be looked for", word), hint)
}

func isHexByte(s string) bool {
	return len(s) <= 4 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// known is the field of that name, and the key of a label.
func (p *filterParser) known(name string) (Field, string, error) {
	if key, isLabel := strings.CutPrefix(name, string(FieldLabel)+"."); isLabel && key != "" {
		return FieldLabel, key, nil
	}
	if f := Field(name); f != FieldLabel && slices.Contains(Fields(), f) {
		return f, "", nil
	}
	names := []string{string(FieldLabel) + ".KEY"}
	for _, f := range Fields() {
		if f != FieldLabel {
			names = append(names, string(f))
		}
	}
	hint := Nearest(name, names)
	message := fmt.Sprintf("there is no field %q", name)
	if hint == "" {
		message += "; there are " + strings.Join(names, ", ")
	}
	return "", "", p.fail(p.pos, message, hint)
}

// value reads a word, or one in quotation marks. A bare word may have commas.
func (p *filterParser) value(bare bool) (string, error) {
	start := p.pos
	if p.accept('"') {
		return p.quoted(start)
	}
	stop := " \t\n\","
	if bare {
		stop = " \t\n\""
	}
	rest := p.text[p.pos:]
	if i := strings.IndexAny(rest, stop); i >= 0 {
		rest = rest[:i]
	}
	if rest == "" {
		return "", p.fail(start, "a value is missing", `""`)
	}
	p.pos += len(rest)
	return rest, nil
}

// quoted reads to the closing quotation mark.
func (p *filterParser) quoted(start int) (string, error) {
	var value strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch {
		case c == '"':
			return value.String(), nil
		case c == '\\' && p.pos < len(p.text):
			c = p.text[p.pos]
			p.pos++
		}
		value.WriteByte(c)
	}
	return "", p.fail(start, "the quotation mark is not closed", "")
}

// checkValue says why a field can never have the value; empty where it can.
func checkValue(t Term, value string) string {
	f := t.Field
	if _, err := netip.ParseAddr(value); err != nil && f == FieldIP && !t.Part && value != "" {
		return fmt.Sprintf("%.60q is no IP address; ip:~10.1. finds those that have it as a part", value)
	}
	if _, err := ParseMAC(value); err != nil && f == FieldMAC && !t.Part && value != "" {
		return fmt.Sprintf("%.60q is no hardware address; mac:~52:54: finds those that have it as a part", value)
	}
	all := choices(f)
	if all == nil || slices.Contains(all, Fold(value)) {
		return ""
	}
	return fmt.Sprintf("%s is never %q; it is %s", f, value, strings.Join(all, ", "))
}

// choices are the only values of a field; nil where it may have any.
func choices(f Field) (all []string) {
	switch f {
	case FieldState:
		for _, s := range States() {
			all = append(all, string(s))
		}
	case FieldOnline, FieldLocked:
		return []string{"yes", "no"}
	}
	return all
}

// String is f as [ParseFilter] reads it.
func (f Filter) String() string {
	terms := make([]string, 0, len(f))
	for _, t := range f {
		terms = append(terms, t.String())
	}
	return strings.Join(terms, " ")
}

// String is t as [ParseFilter] reads it.
func (t Term) String() string {
	var b strings.Builder
	if t.Not {
		b.WriteByte('-')
	}
	if t.Field == FieldLabel {
		b.WriteString("label." + t.Key + ":")
	} else if t.Field != FieldAny {
		b.WriteString(string(t.Field) + ":")
	}
	if t.Part && t.Field != FieldAny {
		b.WriteByte('~')
	}
	for i, v := range t.Values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(v, t.Field))
	}
	return b.String()
}

// quote puts a value into quotation marks where it would be read otherwise.
func quote(value string, f Field) string {
	plain := value != "" && !strings.ContainsAny(value, " \t\n\",\\") && value[0] != '~' && value[0] != '-'
	if plain && (f != FieldAny || !strings.ContainsAny(value, ":=")) {
		return value
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

// ParseSort reads a field to sort by, with "-" before it for the other way round:
// name, state, vendor, model, created or registered.
func ParseSort(text string) (Sort, error) {
	name, desc := strings.CutPrefix(text, "-")
	s := Sort{Field: SortField(name), Desc: desc}
	if name == "" || name == "name" {
		s.Field = SortName
		return s, nil
	}
	if slices.Contains(SortFields(), s.Field) {
		return s, nil
	}
	names := []string{"name"}
	for _, f := range SortFields() {
		names = append(names, string(f))
	}
	err := fmt.Errorf("sort by %.40q: want one of %s", name, strings.Join(names, ", "))
	if near := Nearest(name, names); near != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return Sort{}, err
}
