package registry

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
)

// maxRules bounds a set: each first registration tries every rule.
const maxRules = 256

// osName is how an operating system is called, such as debian-12 or ubuntu-24.04.
var osName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Validate reports everything that is wrong with s as an [*InvalidError].
func (s RuleSet) Validate() error {
	v := validator{}
	if len(s.Rules) > maxRules {
		v.add("/rules", fmt.Sprintf("%d rules; at most %d", len(s.Rules), maxRules))
		return v.err()
	}
	named := map[string]int{}
	for i, rule := range s.Rules {
		at := fmt.Sprintf("/rules/%d", i)
		v.text(at+"/name", rule.Name)
		if rule.Name == "" {
			v.add(at+"/name", "want a name, by which the timeline of a machine tells what was applied")
		}
		if before, taken := named[rule.Name]; taken {
			v.add(at+"/name", fmt.Sprintf("rule %d has this name", before))
		}
		named[rule.Name] = i
		v.match(at+"/match", rule.Match)
		v.set(at+"/set", rule.Set)
	}
	return v.err()
}

func (v *validator) match(at string, m RuleMatch) {
	for _, c := range []struct{ field, pattern string }{{"/vendor", m.Vendor}, {"/model", m.Model}, {"/serial", m.Serial}} {
		v.text(at+c.field, c.pattern)
		if _, err := path.Match(c.pattern, ""); err != nil {
			v.add(at+c.field, `the pattern cannot be read: it has a [ without its ], an empty [], or a \ at its end`)
		}
	}
	if _, ok := macDigits(m.MACPrefix); !ok {
		v.add(at+"/mac_prefix", "want one to six hexadecimal bytes such as 52:54:00")
	}
	if m.Subnet == "" {
		return
	}
	switch subnet, err := netip.ParsePrefix(m.Subnet); {
	case err != nil:
		v.add(at+"/subnet", "want a subnet such as 192.0.2.0/24 or 2001:db8::/64")
	case subnet != subnet.Masked():
		v.add(at+"/subnet", fmt.Sprintf("the address has bits behind the prefix; did you mean %s?", subnet.Masked()))
	}
}

func (v *validator) set(at string, set RuleSetTo) {
	if set.NamePattern == "" && len(set.Tags) == 0 && len(set.Labels) == 0 && set.Owner == "" && set.OS == "" && !set.AutoDeploy {
		v.add(at, "the rule sets nothing; want name_pattern, tags, labels, owner or os")
	}
	if set.NamePattern != "" {
		if _, err := parseNamePattern(set.NamePattern); err != nil {
			v.add(at+"/name_pattern", err.Error())
		}
	}
	v.tags(at+"/tags", set.Tags)
	if len(set.Labels) > maxLabels {
		v.add(at+"/labels", fmt.Sprintf("%d labels; at most %d", len(set.Labels), maxLabels))
	}
	for _, key := range slices.Sorted(maps.Keys(set.Labels)) {
		value := set.Labels[key]
		v.label(at+"/labels", key, &value)
	}
	v.text(at+"/owner", set.Owner)
	v.os(at+"/os", set.OS)
	if set.AutoDeploy && set.OS == "" {
		v.add(at+"/auto_deploy", "want os beside it: a rule deploys what it assigns")
	}
	v.limit(at+"/concurrency", set.Concurrency)
}

// limit checks how many deployments are to be under way at once.
func (v *validator) limit(at string, n int) {
	if n < 0 || n > MaxSelected {
		v.add(at, fmt.Sprintf("want 1 to %d, or 0 for all at once", MaxSelected))
	}
}

// os checks the name of an operating system; the empty one is none.
func (v *validator) os(at, name string) {
	if name != "" && !osName.MatchString(name) {
		v.add(at, "want lower-case letters, digits and . _ -, at most 63, such as debian-12")
	}
}
