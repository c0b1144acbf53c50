package metadata

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dragonfly/boot/seed"
	"dragonfly/registry"
)

// document is one answer.
type document struct {
	text        string
	contentType string
	tell        bool // the timeline is told that it was read
}

const plain = "text/plain; charset=utf-8"

// versions of EC2's interface that are answered. Clients ask for newer ones first
// and take a 404 for what it is.
var versions = []string{"2009-04-04", "latest"}

// find is the document of a name below the token.
func find(d seed.Documents, name string) (document, bool) {
	version, rest, _ := strings.Cut(name, "/")
	if slices.Contains(versions, version) {
		return findEC2(d, rest)
	}
	switch name {
	case "":
		return document{text: index(d), contentType: plain}, true
	case "user-data":
		return document{d.UserData, plain, true}, true
	case "meta-data":
		return document{d.MetaData, plain, true}, true
	case "network-config":
		return document{d.NetworkConfig, plain, true}, true
	case "vendor-data": // empty: an answer of 404 is asked for again, ten times
		return document{contentType: plain}, true
	case "ignition":
		return document{d.UserData, "application/vnd.coreos.ignition+json; version=3.4.0", true}, d.FirstBoot == registry.FirstBootIgnition
	}
	return document{}, false
}

// index lists the documents, a line each.
func index(d seed.Documents) string {
	names := []string{"meta-data", "network-config", "user-data", "vendor-data"}
	if d.FirstBoot == registry.FirstBootIgnition {
		names = append(names, "ignition")
	}
	for _, v := range versions {
		names = append(names, v+"/")
	}
	return strings.Join(names, "\n") + "\n"
}

// findEC2 is a document of EC2's interface. Its meta-data is a tree, of which every
// branch lists what is below it, a line each, with a slash behind what has more
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).
func findEC2(d seed.Documents, name string) (document, bool) {
	switch name {
	case "":
		return document{text: "meta-data/\nuser-data", contentType: plain}, true
	case "user-data":
		return document{d.UserData, plain, true}, true
	}
	path, ok := strings.CutPrefix(name+"/", "meta-data/")
	if !ok {
		return document{}, false
	}
	path = strings.Trim(path, "/")
	leaves := leavesOf(d)
	if text, ok := leaves[path]; ok {
		return document{text: text, contentType: plain}, true
	}
	text := branch(d, leaves, path)
	return document{text: text, contentType: plain, tell: path == ""}, text != ""
}

// leavesOf is the tree, by path.
func leavesOf(d seed.Documents) map[string]string {
	leaves := map[string]string{"instance-id": d.InstanceID}
	if d.Hostname != "" {
		leaves["hostname"], leaves["local-hostname"] = d.Hostname, d.Hostname
	}
	for i, key := range d.SSHKeys {
		leaves[fmt.Sprintf("public-keys/%d/openssh-key", i)] = key
	}
	return leaves
}

// branch lists what is below a path; nothing where there is nothing.
func branch(d seed.Documents, leaves map[string]string, path string) string {
	if path == "public-keys" { // the one branch that names its members otherwise
		var keys []string
		for i := range d.SSHKeys {
			keys = append(keys, fmt.Sprintf("%d=key-%d", i, i))
		}
		return strings.Join(keys, "\n")
	}
	if path != "" {
		path += "/"
	}
	below := map[string]bool{}
	for leaf := range leaves {
		if rest, ok := strings.CutPrefix(leaf, path); ok {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			below[name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(below)), "\n")
}
