package objects

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"dragonfly/registry"
	"dragonfly/tinkerbell"
)

// recipe is a rendered template with two actions, and text that a second rendering
// would stumble over.
const recipe = `version: "0.1"
name: debian-13
global_timeout: 1800
tasks:
- name: install
  worker: "52:54:00:12:34:56"
  volumes:
  - /dev:/dev
  environment:
    DEST_DISK: /dev/disk/by-id/nvme-ACME_1
  actions:
  - name: write image
    image: quay.io/tinkerbell/actions/image2disk:latest
    timeout: 1200
    environment:
      IMG_URL: http://10.0.0.2:3000/images/debian-13.raw.zst
      COMPRESSED: "true"
  - name: write user data
    image: quay.io/tinkerbell/actions/writefile:latest
    timeout: 120
    environment:
      CONTENTS: "#cloud-config\nhostname: {{ v1.local_hostname }}\npassword: '{{{{}}'\n"
`

func machine() registry.Machine {
	boot, other := registry.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}, registry.MAC{0x52, 0x54, 0, 0xab, 0xcd, 0xef}
	return registry.Machine{ID: "m-000000000001", Name: "brave-otter", MACs: []registry.MAC{boot, other}, Address: netip.MustParseAddr("10.0.0.17"), Tags: []string{"gpu"},
		Hardware: registry.Hardware{
			System:   registry.System{Vendor: "Acme", Product: "R1", Serial: "SN1"},
			Firmware: registry.Firmware{Mode: "uefi"}, CPU: registry.CPU{Arch: "amd64"},
			Disks: []registry.Disk{{Name: "sda", Removable: true}, {Name: "sdb"}, {Name: "nvme0n1", ByID: "/dev/disk/by-id/nvme-ACME_1"}},
			NICs: []registry.NIC{{Name: "eth0", PCI: "0000:01:00.0"}, {Name: "eth1", MAC: other, Address: netip.MustParseAddr("2001:db8::2")},
				{Name: "eth2", MAC: boot}, {Name: "eth3", MAC: registry.MAC{2, 0, 0, 0, 0, 3}, Address: netip.MustParseAddr("192.0.2.9")}}}}
}

func order() Order {
	return Order{Machine: machine(), Namespace: "tink-system", Attempt: 1,
		OS: registry.OS{ID: "debian-13", Name: "Debian 13 (trixie)", Version: "13"},
		Deployment: registry.Deployment{ID: "d-000000000001", Kind: registry.KindInstall, OS: "debian-13", Hostname: "web1", By: "ana",
			Actions: make([]registry.ActionRun, 2)},
		Recipe: registry.Recipe{Text: recipe, Parameters: map[string]string{"disk": "/dev/disk/by-id/nvme-ACME_1", "hostname": "web1",
			"user_data": "#cloud-config\nhostname: web1\n", "ssh_keys": "ssh-ed25519 AAAA ana\nssh-ed25519 BBBB ben", "deployment_id": "d-000000000001"}},
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")},
	}
}

// arm is a wipe of a machine that little is known of, in a Hardware that others made,
// with a BMC.
func arm() Order {
	o := order()
	o.OS, o.Hardware, o.BMC, o.Attempt = registry.OS{}, "rack1.slot7", "rack1.slot7-bmc", 3
	o.Machine.Hardware = registry.Hardware{CPU: registry.CPU{Arch: "arm64"}}
	o.Deployment.Kind, o.Deployment.OS, o.Deployment.By = registry.KindWipe, "", ""
	o.Deployment.Actions = o.Deployment.Actions[:1]
	o.Recipe = registry.Recipe{Text: "version: \"0.1\"\nname: wipe\ntasks: [{name: wipe, worker: \"52:54:00:12:34:56\", actions: [{name: \"yes\", image: x/wipe, timeout: 60}]}]\n",
		Parameters: map[string]string{"hostname": "no"}}
	return o
}

func TestBuild(t *testing.T) {
	bmc := order()
	bmc.BMC = "bmc-7"
	bmc.Recipe.Request.Seed.Network.VLANs = []registry.VLAN{{Link: registry.Link{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/28")}}}}
	for name, o := range map[string]Order{"install": order(), "wipe": arm(), "bmc": bmc} {
		got, err := Build(o)
		if err != nil {
			t.Fatal(name, err)
		}
		golden(t, "testdata/"+name+".yaml", documents(t, got.Hardware, got.Template, got.Workflow))
	}
}

func documents(t *testing.T, all ...*unstructured.Unstructured) string {
	t.Helper()
	var texts []string
	for _, u := range all {
		if u == nil {
			continue
		}
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return strings.Join(texts, "---\n")
}

// golden compares with the file, or writes it with UPDATE=1.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s (%v; UPDATE=1 writes it): got\n%s\nwant\n%s", path, err, got, want)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Order)
		want   string
	}{
		"no namespace":     {func(o *Order) { o.Namespace = "" }, `namespace "": it is empty`},
		"a bad namespace":  {func(o *Order) { o.Namespace = "Tink_System" }, "want lower-case letters, digits and dashes, as in tink-system"},
		"a long namespace": {func(o *Order) { o.Namespace = strings.Repeat("a", 64) }, "longer than 63"},
		"no attempt":       {func(o *Order) { o.Attempt = 0 }, "the number of the attempt is missing"},
		"no address":       {func(o *Order) { o.Machine.MACs = nil }, "boot it from the network once"},
		"no architecture":  {func(o *Order) { o.Machine.Hardware.CPU.Arch = "" }, `architecture is "" and has to be amd64 or arm64`},
		"a bad Hardware":   {func(o *Order) { o.Hardware = "Rack_1" }, `Hardware "Rack_1" is not the name of an object`},
		"a bad BMC":        {func(o *Order) { o.BMC = "a..b" }, `BMC "a..b" is not the name of an object`},
		"no template":      {func(o *Order) { o.Recipe.Text = "" }, "the rendered template: "},
		"not a template":   {func(o *Order) { o.Recipe.Text = "tasks: [" }, "the rendered template: "},
		"too large":        {func(o *Order) { o.Recipe.Text += "#" + strings.Repeat("x", tinkerbell.MaxRendered) }, "Tinkerbell takes 262144 at most; user data"},
		"another worker": {func(o *Order) {
			o.Recipe.Text = strings.Replace(recipe, "52:54:00:12:34:56", "node-1", 1)
		}, `task "install" is for the worker "node-1", and the machine asks for work as 52:54:00:12:34:56: write worker: "{{ .device_1 }}"`},
		"other actions": {func(o *Order) { o.Deployment.Actions = nil }, "the rendered template has 2 actions, and the deployment 0"},
		"two at once": {func(o *Order) { o.Namespace, o.Deployment.Actions = "", nil },
			`hand brave-otter to Tinkerbell: namespace "": it is empty; the rendered template has 2 actions, and the deployment 0`},
	} {
		o := order()
		c.change(&o)
		if _, err := Build(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.300v; want %s", name, err, c.want)
		}
	}
}

// A global timeout that is missing, or 0, would end the Workflow after its first action.
func TestGlobalTimeout(t *testing.T) {
	for _, line := range []string{"", "global_timeout: 0\n"} {
		o := order()
		o.Recipe.Text = strings.Replace(recipe, "global_timeout: 1800\n", line, 1)
		got, err := Build(o)
		if err != nil {
			t.Fatal(err)
		}
		data, _, _ := unstructured.NestedString(got.Template.Object, "spec", "data")
		made, err := tinkerbell.Parse([]byte(renderAgain(t, data)))
		if err != nil || made.GlobalTimeout != 1200+120+margin || made.Actions() != 2 {
			t.Errorf("%q: %+v %v", line, made, err)
		}
	}
}
