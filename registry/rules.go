package registry

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// RuleSet is the rules on registration, in the order in which they are tried.
type RuleSet struct {
	Version int64  `json:"version"` // of the set; a write names the version it read. 0 is not stored yet
	Rules   []Rule `json:"rules"`
}

// Rule says what becomes of a machine that registers for the first time. A rule
// whose Match is met is applied; later rules add to it, and of what a machine has
// one of (the name, the owner, the operating system, the value of a label) the
// first rule that sets it wins.
type Rule struct {
	Name  string    `json:"name" doc:"what the machine's timeline calls it; no two rules have one name"`
	Match RuleMatch `json:"match,omitzero"`
	Set   RuleSetTo `json:"set"`

	Disabled bool `json:"disabled,omitempty" doc:"kept, but not tried"`
}

// RuleMatch is met when everything that is set matches; the empty one always is.
// Patterns are those of [path.Match], with * for slashes too, compared without
// regard to ASCII case.
type RuleMatch struct {
	Vendor    string `json:"vendor,omitempty" doc:"a pattern, such as Dell*"`
	Model     string `json:"model,omitempty" doc:"a pattern, such as PowerEdge R6?0"`
	Serial    string `json:"serial,omitempty" doc:"a pattern"`
	MACPrefix string `json:"mac_prefix,omitempty" doc:"one of its hardware addresses begins with it, such as 52:54:00"`
	Subnet    string `json:"subnet,omitempty" doc:"such as 192.0.2.0/24, of the address it registers from"`
	BMC       *bool  `json:"bmc,omitempty" doc:"has a management controller"`
}

// RuleSetTo is what a rule gives to a machine.
type RuleSetTo struct {
	NamePattern string            `json:"name_pattern,omitempty" doc:"such as rack1-{serial} or node-{n:3}; there are {serial} {mac} {vendor} {model} {uuid}, and {n} for the lowest number that is free, with its least number of digits behind a colon"`
	Tags        []string          `json:"tags,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	OS          string            `json:"os,omitempty" doc:"the operating system to assign; nothing is installed by that alone"`
	AutoDeploy  bool              `json:"auto_deploy,omitempty" doc:"os is installed as soon as the machine has registered, where this rule is the one that assigns it; never on a disk on which anything was found"`
	Concurrency int               `json:"concurrency,omitempty" doc:"with auto_deploy: how many machines of this rule are installed at once, the others wait for their turn; 0: all of them"`
}

// RuleVerdict says whether a rule applies to a machine.
type RuleVerdict struct {
	Rule    string `json:"rule"`
	Applies bool   `json:"applies"`
	Because string `json:"because,omitempty" doc:"why it does not apply, or why its name pattern is passed over"`
}

// assignment is what rules make of one registration.
type assignment struct {
	verdicts []RuleVerdict
	set      RuleSetTo // NamePattern, AutoDeploy and Concurrency are not used
	name     nameText  // zero: no rule names the machine
	deploys  *Rule     // wants set.OS installed; nil: none does
}

// evaluate finds the rules that apply to reg, and what they give together.
func (s RuleSet) evaluate(reg Registration) (a assignment) {
	for i, rule := range s.Rules {
		verdict := RuleVerdict{Rule: rule.Name, Because: rule.Match.unmet(reg)}
		if rule.Disabled {
			verdict.Because = "the rule is disabled"
		}
		if verdict.Applies = verdict.Because == ""; verdict.Applies {
			if rule.Set.AutoDeploy && a.set.OS == "" {
				a.deploys = &s.Rules[i]
			}
			verdict.Because = a.add(rule.Set, reg)
		}
		a.verdicts = append(a.verdicts, verdict)
	}
	return a
}

// add takes in what a rule sets, behind those before it. It returns why the name
// pattern is passed over; empty where it is not.
func (a *assignment) add(set RuleSetTo, reg Registration) (passedOver string) {
	if set.NamePattern != "" && a.name == (nameText{}) {
		a.name, passedOver = fillName(set.NamePattern, reg)
	}
	for _, tag := range set.Tags {
		if !slices.Contains(a.set.Tags, tag) {
			a.set.Tags = append(a.set.Tags, tag)
		}
	}
	for key, value := range set.Labels {
		if a.set.Labels == nil {
			a.set.Labels = map[string]string{}
		}
		if _, taken := a.set.Labels[key]; !taken {
			a.set.Labels[key] = value
		}
	}
	if a.set.Owner == "" {
		a.set.Owner = set.Owner
	}
	if a.set.OS == "" {
		a.set.OS = set.OS
	}
	return passedOver
}

// unmet is the first condition that reg does not meet, for people; empty where all
// are met.
func (m RuleMatch) unmet(reg Registration) string {
	system := reg.Hardware.System
	for _, c := range []struct{ what, have, pattern string }{
		{"vendor", system.Vendor, m.Vendor}, {"model", system.Product, m.Model}, {"serial number", system.Serial, m.Serial},
	} {
		if c.pattern != "" && !glob(c.pattern, c.have) {
			return fmt.Sprintf("its %s is %q", c.what, c.have)
		}
	}
	begins := func(mac MAC) bool {
		digits, ok := macDigits(m.MACPrefix)
		return ok && strings.HasPrefix(hex.EncodeToString(mac[:]), digits)
	}
	if m.MACPrefix != "" && !slices.ContainsFunc(reg.MACs, begins) {
		return "no hardware address of it begins with " + m.MACPrefix
	}
	if m.Subnet != "" {
		if subnet, err := netip.ParsePrefix(m.Subnet); err != nil || !subnet.Contains(reg.Address.Unmap()) {
			return fmt.Sprintf("it registers from %s", reg.Address)
		}
	}
	if has := reg.Hardware.BMC != nil; m.BMC != nil && *m.BMC != has {
		return map[bool]string{true: "it has a management controller", false: "it has no management controller"}[has]
	}
	return ""
}

// glob reports whether text matches pattern. To [path.Match] a slash is a border
// that * does not cross; in the name of a model it is a character.
func glob(pattern, text string) bool {
	const border, character = "/", "\x1f"
	ok, err := path.Match(strings.ReplaceAll(Fold(pattern), border, character), strings.ReplaceAll(Fold(text), border, character))
	return ok && err == nil
}

// macDigits are the hexadecimal digits of the beginning of a hardware address,
// which is made of whole bytes with ":" or "-" between them, or nothing.
func macDigits(prefix string) (digits string, ok bool) {
	digits = Fold(prefix)
	if len(digits) > 2 && (digits[2] == ':' || digits[2] == '-') {
		bytes := strings.Split(digits, digits[2:3])
		if slices.ContainsFunc(bytes, func(b string) bool { return len(b) != 2 }) {
			return "", false
		}
		digits = strings.Join(bytes, "")
	}
	decoded, err := hex.DecodeString(digits)
	return digits, err == nil && len(decoded) <= len(MAC{})
}
