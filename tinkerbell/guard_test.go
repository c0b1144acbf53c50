package tinkerbell

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"
)

// Each would use up memory or time without end, or the stack, which ends the
// process. text/template and Sprig have no limits of their own.
var bombs = map[string]string{
	"range over a number":      `{{ range 1000000000000 }}{{ end }}`,
	"nested ranges":            `{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}`,
	"range that writes":        `{{ range 1000000 }}aaaaaaaa{{ end }}`,
	"templates that double":    `{{ define "a" }}{{ template "b" . }}{{ template "b" . }}{{ end }}` + doubling(40) + `{{ template "a" . }}`,
	"template in itself":       `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`,
	"until":                    `{{ until 1000000000 }}`,
	"until, negative":          `{{ range until -1000000000 }}{{ end }}`,
	"untilStep":                `{{ untilStep 0 1000000000 1 }}`,
	"untilStep, the other way": `{{ untilStep 1000000000 0 -1 }}`,
	"seq":                      `{{ seq 1 1000000000 }}`,
	"repeat":                   `{{ repeat 1000000000 "a" }}`,
	"repeat of long":           `{{ repeat 100000 (repeat 100000 "a") }}`,
	"repeat unseen":            `{{ $x := repeat 1000000000 "a" }}`,
	"indent":                   `{{ indent 1000000000 "a" }}`,
	"nindent":                  `{{ repeat 1000 "a\n" | nindent 1000000 }}`,
	"printf width":             `{{ printf "%0999999d%0999999d" 1 1 }}`,
	"printf width of a value":  `{{ printf "%*d" 999999 1 }}{{ printf "%*d" 999999 1 }}`,
	"printf again and again":   `{{ printf (repeat 50000 "%[1]v") (repeat 100000 "a") }}`,
	"replace":                  `{{ repeat 10000 "a" | replace "a" (repeat 10000 "b") }}`,
	"regexReplaceAll":          `{{ regexReplaceAll "a" (repeat 10000 "a") (repeat 10000 "b") }}`,
	"regex of many states":     `{{ regexMatch "(?:(?:a|b)*c){1000}" (repeat 1000000 "a") }}`,
	"join":                     `{{ join (repeat 100000 "a") (until 1000) }}`,
	"text that doubles":        `{{ $x := "a" }}{{ range 64 }}{{ $x = cat $x $x }}{{ end }}`,
	"print that doubles":       `{{ $x := "a" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}`,
	"list that doubles":        `{{ $x := list 1 }}{{ range 64 }}{{ $x = list $x $x }}{{ end }}{{ $x }}`,
	"list that deepens":        `{{ $x := list 1 }}{{ range 100000 }}{{ $x = list $x }}{{ end }}{{ $x | toYaml }}`,
	"dict in itself":           `{{ $x := dict }}{{ $y := set $x "x" $x }}{{ $x }}`,
	"dict in its own list":     `{{ $x := dict }}{{ $l := list $x }}{{ $y := set $x "x" $l }}{{ $x | toJson }}`,
	"dicts in each other":      `{{ $x := dict }}{{ $y := dict "x" $x }}{{ $_ := set $x "y" $y }}{{ $y }}`,
	"dict that grows in lists": `{{ $d := dict }}{{ $l := list $d $d $d $d $d $d $d $d }}{{ $m := list $l $l $l $l $l $l $l $l }}{{ $n := list $m $m $m $m $m $m $m $m }}{{ $_ := set $d "k" (repeat 100000 "a") }}{{ $n }}`,
	"uniq":                     `{{ until 50000 | uniq | len }}`,
	"without":                  `{{ without (until 50000) 1 2 3 | len }}`,
	"keys":                     `{{ range 100 }}{{ $x := genPrivateKey "rsa" }}{{ end }}`,
	"hashes":                   `{{ range 1000 }}{{ $x := bcrypt "a" }}{{ end }}`,
	"division by zero":         `{{ div 1 0 }}`,
	"aliases":                  `{{ fromYaml "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]" }}`,
	"deep JSON":                `{{ fromJson (repeat 9000 "[" | printf "%s1%s" | replace "%!s(MISSING)" (repeat 9000 "]")) }}{{ repeat 500000 "[" }}`,
	"parentheses":              `{{ ` + strings.Repeat("(", 100_000) + `1` + strings.Repeat(")", 100_000) + ` }}{{ .no }}`,
	"ifs":                      strings.Repeat("{{ if 1 }}", 50_000) + "{{ .no }}" + strings.Repeat("{{ end }}", 50_000),
	"too much text":            strings.Repeat("a", MaxText+1),
}

// doubling are templates b to b+n, each of which calls the next twice.
func doubling(n int) (text string) {
	for i := range n {
		from, to := "b"+strings.Repeat("b", i), "b"+strings.Repeat("b", i+1)
		text += `{{ define "` + from + `" }}{{ template "` + to + `" . }}{{ template "` + to + `" . }}{{ end }}`
	}
	return text + `{{ define "b` + strings.Repeat("b", n) + `" }}{{ end }}`
}

func TestBombs(t *testing.T) {
	for name, text := range bombs {
		t.Run(name, func(t *testing.T) {
			var err error
			took := cpuTime(t, func() { _, err = Render([]byte(text), dataOf(t, machine())) })
			if err == nil || took > 2*maxTime {
				t.Errorf("error %v after %s", err, took)
			} else {
				t.Logf("%.120s after %s", err, took)
			}
		})
	}
}

// An author cannot call what the guard puts in.
func TestGuardIsOutOfReach(t *testing.T) {
	for _, name := range []string{stepName, showName} {
		if _, err := Render([]byte(fmt.Sprintf(`{{ %s }}`, name)), nil); err == nil || !strings.Contains(err.Error(), "not defined") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every function that takes one text ends soon on the longest there may be.
func TestFunctionsOnLongTexts(t *testing.T) {
	text := strings.Repeat("aA \n", maxValue/4-8)
	for name, function := range newGuard().functions() {
		kind := reflect.TypeOf(function)
		if kind.NumIn() != 1 || kind.IsVariadic() || kind.In(0).Kind() != reflect.String {
			continue
		}
		took := cpuTime(t, func() {
			_ = template.Must(template.New("").Funcs(template.FuncMap{"f": function}).Parse(`{{ $x := f .text }}`)).
				Execute(new(strings.Builder), map[string]any{"text": text})
		})
		if took > 5*time.Second { // the slowest takes one on a busy host, with the race detector
			t.Errorf("%s took %s", name, took)
		}
	}
}

// The guard changes nothing that is within the limits.
func TestGuardChangesNothing(t *testing.T) {
	data := map[string]any(dataOf(t, machine()))
	data["null"] = nil
	for _, text := range []string{
		`{{ .null }} {{ .hardware }} {{ .Hardware }} {{ len .Hardware.Disks }} {{ printf "%05d|%-5s|%v" 7 "a" (list 1 "b") }}`,
		`{{ range $i, $d := .Hardware.Disks }}{{ if $i }},{{ end }}{{ $d }}{{ else }}none{{ end }}`,
		`{{ with .null }}a{{ else }}b{{ end }}{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" .arch }}{{ block "y" . }}{{ .disk }}{{ end }}`,
		`{{ range until 5 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ continue }}never{{ end }}{{- /* a comment */ -}} {{ "<a>" | html }}{{ print 1 2 "x" }}`,
		`{{ (index .Hardware.Interfaces 0).DHCP.IP.Address }} {{ .hardware.spec | toYaml | nindent 2 }} {{ toJson .Hardware.Disks }} {{ .Hardware.Metadata.Instance.ID }}`,
		`{{ range 3 }}{{ . }}{{ end }}{{ $x := 1 }}{{ $x = add $x 1 }}{{ $x }}{{ default "z" .null }}{{ list nil }} {{ true }} {{ 1.5 }} {{ .null | quote }}`,
	} {
		functions := template.FuncMap(map[string]any{})
		for name, function := range newGuard().functions() {
			functions[name] = function
		}
		var want strings.Builder
		plain, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(text)
		if err == nil {
			err = plain.Execute(&want, data)
		}
		got, gotErr := Render([]byte(text), Data(data))
		if string(got.Text) != want.String() || (err == nil) != (gotErr == nil) {
			t.Errorf("%s: %q, %v; without the guard %q, %v", text, got.Text, gotErr, want.String(), err)
		}
	}
}
