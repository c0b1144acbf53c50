package registry

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// maxName is how long a name may be: a label of a host name (RFC 1123).
const maxName = 63

// maxDigits bounds the width of {n:WIDTH}.
const maxDigits = 9

// placeholders lists what may stand in braces in a name pattern.
func placeholders() []string { return []string{"serial", "mac", "vendor", "model", "uuid", "n"} }

// namePart is a piece of a name pattern: text, or a placeholder.
type namePart struct {
	text  string
	field string // empty for text
	width int    // of {n}
}

// parseNamePattern cuts a pattern into its parts. The error says what is wrong
// with it, and what was probably meant.
func parseNamePattern(pattern string) (parts []namePart, err error) {
	for rest, counters := pattern, 0; rest != ""; {
		text, inside, open := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, fmt.Errorf("a } without its {")
		}
		if text != "" {
			parts = append(parts, namePart{text: text})
		}
		if !open {
			break
		}
		inside, behind, closed := strings.Cut(inside, "}")
		if !closed {
			return nil, fmt.Errorf("a { without its }")
		}
		part, err := parsePlaceholder(inside)
		if err != nil {
			return nil, err
		}
		if part.field == "n" {
			counters++
		}
		if counters > 1 {
			return nil, fmt.Errorf("more than one {n}")
		}
		parts, rest = append(parts, part), behind
	}
	return parts, plausible(parts)
}

// parsePlaceholder reads what stands in braces.
func parsePlaceholder(inside string) (namePart, error) {
	field, width, sized := strings.Cut(inside, ":")
	part := namePart{field: field}
	if sized {
		digits, err := strconv.Atoi(width)
		if field != "n" || err != nil || digits < 1 || digits > maxDigits {
			return part, fmt.Errorf("{%.40s}: want {n:3} for at least three digits, at most %d", inside, maxDigits)
		}
		part.width = digits
	}
	for _, known := range placeholders() {
		if field == known {
			return part, nil
		}
	}
	message := fmt.Sprintf("there is no {%.40s}", field)
	if near := Nearest(field, placeholders()); near != "" {
		return part, fmt.Errorf("%s; did you mean {%s}?", message, near)
	}
	return part, fmt.Errorf("%s; there are {%s}", message, strings.Join(placeholders(), "} {"))
}

// plausible reports text that no name can have.
func plausible(parts []namePart) error {
	var sample strings.Builder
	for _, p := range parts {
		if sample.WriteString(p.text); p.field != "" {
			sample.WriteString("1")
		}
	}
	if name := sample.String(); !validName(name) || name == "m" { // the next one would be m-2
		return fmt.Errorf(`want lower-case letters, digits and dashes around the placeholders, at most %d, as in a host name, and not "m-" at the start`, maxName)
	}
	return nil
}

// nameText is a name pattern with everything filled in but the number.
type nameText struct {
	before, after string // the number
	counts        bool   // the pattern has {n}
	width         int
}

// fillName fills in what reg says. A pattern that asks for what the machine does
// not have is passed over: rack1- without its serial number would be the same name
// for every such machine.
func fillName(pattern string, reg Registration) (text nameText, passedOver string) {
	parts, err := parseNamePattern(pattern)
	if err != nil {
		return nameText{}, err.Error()
	}
	for _, p := range parts {
		value := p.text
		switch {
		case p.field == "n":
			text.counts, text.width = true, p.width
			continue
		case p.field != "":
			if value = cleanName(nameValue(p.field, reg)); value == "" {
				return nameText{}, fmt.Sprintf("its name needs {%s}, which the machine does not tell", p.field)
			}
		}
		if text.counts {
			text.after += value
		} else {
			text.before += value
		}
	}
	for n := range 2 { // the second one may have a number behind it
		if name := text.at(n + 1); !validName(name) {
			return nameText{}, fmt.Sprintf("it would be called %q, which is no name", name)
		}
	}
	return text, ""
}

// nameValue is what stands for a placeholder; empty where it is not known, or
// tells nothing apart.
func nameValue(field string, reg Registration) string {
	system := reg.Hardware.System
	switch field {
	case "serial":
		if usableSerial(system.Serial) {
			return system.Serial
		}
	case "uuid":
		if usableUUID(system.UUID) {
			return system.UUID
		}
	case "mac":
		return hex.EncodeToString(reg.MAC[:])
	case "vendor":
		return system.Vendor
	case "model":
		return system.Product
	}
	return ""
}

// cleanName is s with only what a name may have: words of letters and digits, with
// a dash between them.
func cleanName(s string) string {
	words := strings.FieldsFunc(Fold(s), func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') })
	return strings.Join(words, "-")
}

// at is the n-th name, from 1 on. A pattern without {n} gets a number from the
// second on. What is too long is cut, first before the number.
func (t nameText) at(n int) string {
	number := ""
	switch {
	case t.counts:
		number = strconv.Itoa(n)
		number = strings.Repeat("0", max(t.width-len(number), 0)) + number
	case n > 1:
		number = "-" + strconv.Itoa(n)
	}
	room := maxName - len(number)
	after := t.after[:min(len(t.after), max(room/2, room-len(t.before)))]
	before := t.before[:min(len(t.before), room-len(after))]
	return strings.Trim(before+number+after, "-")
}

// has reports whether name is one of t.
func (t nameText) has(name string) bool {
	middle, begins := strings.CutPrefix(name, t.before)
	middle, ends := strings.CutSuffix(middle, t.after)
	if middle == "" && !t.counts {
		return begins && ends
	}
	n, err := strconv.Atoi(strings.TrimPrefix(middle, "-"))
	return begins && ends && err == nil && n > 0 && t.at(n) == name
}
