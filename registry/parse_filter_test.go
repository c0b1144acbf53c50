package registry

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseFilter(t *testing.T) {
	any := func(word string) Term { return Term{Part: true, Values: []string{word}} }
	for text, want := range map[string]Filter{
		"":                             nil,
		" \t ":                         nil,
		"otter":                        {any("otter")},
		"brave otter":                  {any("brave"), any("otter")},
		`"brave otter"`:                {any("brave otter")},
		"52:54:00:12:34:56":            {any("52:54:00:12:34:56")},
		"2001:db8::7":                  {any("2001:db8::7")},
		"a,b":                          {any("a,b")},
		"-old":                         {{Part: true, Not: true, Values: []string{"old"}}},
		"state:ready":                  {{Field: FieldState, Values: []string{"ready"}}},
		"state:ready,failed tag:gpu":   {{Field: FieldState, Values: []string{"ready", "failed"}}, {Field: FieldTag, Values: []string{"gpu"}}},
		"model:~poweredge -tag:old":    {{Field: FieldModel, Part: true, Values: []string{"poweredge"}}, {Field: FieldTag, Not: true, Values: []string{"old"}}},
		`vendor:"Dell Inc.","HP, \"x"`: {{Field: FieldVendor, Values: []string{"Dell Inc.", `HP, "x`}}},
		"label.rack:a1":                {{Field: FieldLabel, Key: "rack", Values: []string{"a1"}}},
		`owner:""`:                     {{Field: FieldOwner, Values: []string{""}}},
		"mac:52-54-00-AB-CD-EF":        {{Field: FieldMAC, Values: []string{"52:54:00:ab:cd:ef"}}},
		`-"tag=gpu" a=b`:               {{Part: true, Not: true, Values: []string{"tag=gpu"}}, any("a=b")},
		"mac:~52:54 online:yes":        {{Field: FieldMAC, Part: true, Values: []string{"52:54"}}, {Field: FieldOnline, Values: []string{"yes"}}},
	} {
		got, err := ParseFilter(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
		again, err := ParseFilter(got.String())
		if err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%q written as %q: %+v, %v", text, got, again, err)
		}
	}
}

func TestParseFilterErrors(t *testing.T) {
	for text, want := range map[string]FilterError{
		"tag:":                             {4, "a value is missing", `""`},
		"a tga:gpu":                        {2, `no field "tga"`, "tag"},
		"colour:red":                       {0, "there are label.KEY, id, name", ""},
		"state:redy":                       {6, `state is never "redy"`, "ready"},
		"online:maybe":                     {7, "it is yes, no", ""},
		"-tag=gpu":                         {1, "a colon is between", "-tag:gpu"},
		"tag!=gpu":                         {0, "a colon is between", "-tag:gpu"},
		"-label.rack!=a1":                  {1, "a colon is between", "label.rack:a1"},
		"state==ready":                     {0, "a colon is between", "state:ready"},
		"mac:5254.0077.000a":               {4, "mac:~52:54: finds", ""},
		"ip:10.77.0.0/24":                  {3, "ip:~10.1. finds", ""},
		`tag:"x`:                           {4, "not closed", ""},
		"label.:x":                         {0, `no field "label."`, ""},
		"label:x":                          {0, `no field "label"`, ""},
		"tag:a,":                           {6, "a value is missing", `""`},
		"a\x00b":                           {1, "control character", ""},
		"\xff":                             {0, "not UTF-8", ""},
		strings.Repeat("a ", 30):           {41, "more than 20 terms", ""},
		strings.Repeat("a", 1<<20):         {1000, "longer than", ""},
		"tag:" + strings.Repeat("a,", 200): {204, "more than 100 values", ""},
	} {
		_, err := ParseFilter(text)
		e, ok := errors.AsType[*FilterError](err)
		if !ok || e.Pos != want.Pos || !strings.Contains(e.Message, want.Message) || (want.Hint != "" && e.Hint != want.Hint) {
			t.Errorf("%.20q: %#v, want %+v", text, err, want)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{"state:ready -tag:~old", `"a \" b",c`, "label.x:1,2 a:b:c", "~", "-", ":", "-:~,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := ParseFilter(text)
		if err != nil {
			return
		}
		again, err := ParseFilter(first.String())
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("%q became %q: %+v and %+v, %v", text, first, first, again, err)
		}
	})
}

func TestParseSort(t *testing.T) {
	for text, want := range map[string]Sort{"": {}, "name": {}, "-name": {Desc: true}, "model": {Field: SortModel}, "-created": {SortCreated, true}} {
		if got, err := ParseSort(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if _, err := ParseSort("modle"); err == nil || !strings.Contains(err.Error(), "did you mean model?") {
		t.Errorf("modle: %v", err)
	}
}
