package ui

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestWhole(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"nothing to keep":           "nothing to keep",
		"start with --boot":         `start with <span class="whole">--boot</span>`,
		"--boot: off":               `<span class="whole">--boot:</span> off`,
		"of lime-reed\nis lost":     `of <span class="whole">lime-reed</span>` + "\nis lost",
		"<b> of a-<i>\"b\"</i> & c": `&lt;b&gt; of <span class="whole">a-&lt;i&gt;&#34;b&#34;&lt;/i&gt;</span> &amp; c`,
	} {
		var html strings.Builder
		if err := whole(text).Render(t.Context(), &html); err != nil {
			t.Fatal(err)
		}
		if html.String() != want {
			t.Errorf("%q is %s, want %s", text, &html, want)
		}
	}
}

// breakable is a flag of the command line in a template, where a browser may break it.
var breakable = regexp.MustCompile(`<(p|code|b|span|small|li|dd|td)>[^<]*[ >]--[a-z][^<]*<`)

// What a template says of a flag is kept whole, too.
func TestFlagsInTemplates(t *testing.T) {
	files, err := filepath.Glob("*.templ")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	kept := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kept += strings.Count(string(text), `<code class="whole">`)
		for _, found := range breakable.FindAllString(string(text), -1) {
			t.Errorf("%s: the flag in %q may be broken at its dashes: it has not the class whole", file, found)
		}
	}
	if kept < 4 {
		t.Errorf("%d commands with flags were found", kept)
	}
}
