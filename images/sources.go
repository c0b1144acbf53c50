package images

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// archive is one entry of the host's package sources: where packages come from
// (sources.list(5)).
type archive struct {
	URI        string
	Suites     []string
	Components []string
}

// hostArchives reads the package sources of a host, whose root directory is
// given: sources.list, and *.list and *.sources below sources.list.d.
func hostArchives(root fs.FS) ([]archive, error) {
	const dir = "etc/apt"
	names, err := fs.Glob(root, dir+"/sources.list.d/*")
	if err != nil {
		return nil, err
	}
	var all []archive
	for _, name := range append([]string{dir + "/sources.list"}, names...) {
		text, err := fs.ReadFile(root, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("read the package sources: %w", err)
		case path.Ext(name) == ".list":
			all = append(all, parseList(text)...)
		case path.Ext(name) == ".sources":
			all = append(all, parseSources(text)...)
		}
	}
	return all, nil
}

// parseList reads the one-line format: "deb [option=value ...] URI suite
// component...". Lines of other types are skipped, broken ones too: apt itself
// tells about them.
func parseList(text []byte) []archive {
	var all []archive
	for line := range lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if open := strings.IndexByte(line, '['); open >= 0 {
			closing := strings.IndexByte(line, ']')
			if closing < open {
				continue
			}
			line = line[:open] + line[closing+1:]
		}
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "deb" {
			continue
		}
		all = append(all, archive{URI: words[1], Suites: words[2:3], Components: words[3:]})
	}
	return all
}

// parseSources reads the deb822 format: stanzas of "Field: value" lines with
// continuation lines, parted by empty lines. A disabled stanza is skipped.
func parseSources(text []byte) []archive {
	var all []archive
	fields := map[string]string{}
	last := ""
	flush := func() {
		if fields["enabled"] != "no" && slices.Contains(strings.Fields(fields["types"]), "deb") {
			for uri := range strings.FieldsSeq(fields["uris"]) {
				all = append(all, archive{URI: uri, Suites: strings.Fields(fields["suites"]), Components: strings.Fields(fields["components"])})
			}
		}
		clear(fields)
	}
	for line := range lines(text) {
		key, value, isField := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "":
			flush()
		case strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + strings.TrimSpace(line)
		case isField:
			last = strings.ToLower(key)
			fields[last] = strings.TrimSpace(value)
		}
	}
	flush()
	return all
}

// lines yields a text line by line. A line over 64 KiB ends the text: no list
// of package sources has one.
func lines(text []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		scanner := bufio.NewScanner(bytes.NewReader(text))
		for scanner.Scan() {
			if !yield(scanner.Text()) {
				return
			}
		}
	}
}

// debian picks Debian's main and security archives out of a host's sources by
// what only Debian's have: suites X and X-updates with main at one address, and
// X-security. The keyring decides in the end whether it was right. security is
// "" where the host names none.
func debian(all []archive) (main, security string, err error) {
	score := 0
	for _, a := range all {
		if strings.HasPrefix(a.URI, "cdrom:") || !slices.Contains(a.Components, "main") {
			continue
		}
		if slices.ContainsFunc(a.Suites, func(s string) bool { return strings.HasSuffix(s, "-security") }) {
			security = a.URI
			continue
		}
		if points := likeness(a.URI, all); points > score {
			main, score = a.URI, points
		}
	}
	if main == "" {
		return "", "", errors.New("find Debian's package archive: the host's package sources name none; give its address")
	}
	return main, security, nil
}

// likeness weighs how much an address looks like a mirror of Debian: its suites
// count most, its path breaks a tie.
func likeness(uri string, all []archive) int {
	points := 0
	for _, a := range all {
		if a.URI != uri {
			continue
		}
		for _, suite := range a.Suites {
			if strings.HasSuffix(suite, "-updates") {
				points |= 4
			}
			if slices.Contains(suites(), suite) {
				points |= 2
			}
		}
	}
	if points > 0 && strings.HasSuffix(strings.TrimRight(uri, "/"), "/debian") {
		points |= 1
	}
	return points
}

// suites are the names under which a Debian host may follow its archive.
func suites() []string {
	return []string{"bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
}
