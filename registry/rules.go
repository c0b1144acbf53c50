package registry

// RuleSet is the rules on registration, in the order in which they are tried.
type RuleSet struct {
	Version int64  // of the set; a write names the version it read. 0 is not stored yet
	Rules   []Rule `json:"rules"`
}

// Rule says what becomes of a machine that registers for the first time. A rule
// whose Match is met is applied; later rules add to it, and of what only one can
// set (the name, the OS) the first rule wins.
type Rule struct {
	Name  string    `json:"name"`
	Match RuleMatch `json:"match"`
	Set   RuleSetTo `json:"set"`
}

// RuleMatch is met when everything that is set matches. Patterns are those of
// [path.Match], compared without regard to ASCII case.
type RuleMatch struct {
	Vendor    string `json:"vendor,omitempty"`
	Model     string `json:"model,omitempty"`
	Serial    string `json:"serial,omitempty"`
	MACPrefix string `json:"mac_prefix,omitempty" doc:"such as 52:54:00"`
	Subnet    string `json:"subnet,omitempty" doc:"such as 192.0.2.0/24, of the address it registers from"`
	BMC       *bool  `json:"bmc,omitempty" doc:"has a management controller"`
}

// RuleSetTo is what a rule gives to a machine.
type RuleSetTo struct {
	NamePattern string            `json:"name_pattern,omitempty" doc:"such as rack1-{serial} or node-{n:3}"`
	Tags        []string          `json:"tags,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	OS          string            `json:"os,omitempty" doc:"the operating system to assign by default"`
	AutoDeploy  bool              `json:"auto_deploy,omitempty" doc:"install it without asking; off by default"`
}
